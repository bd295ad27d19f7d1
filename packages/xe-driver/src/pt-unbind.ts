import { NO_TABLE, type PtPool } from './pt.ts';
import { LEVEL_PAGES, PAGES_64K, PT_COMPACT_ENTRIES, PT_ENTRIES, XE_PAGE_PRESENT } from './pt-encoding.ts';

/**
 * Remove the entries of a bound interval and free the tables that became empty (xe_pt_stage_unbind and commit).
 * Does not sleep, cannot fail. Cost: linear in entries.
 *
 * @returns hardware entries that were still present: when not 0 the TLB has to be flushed.
 */
export function ptUnbindRange(
  pool: PtPool,
  table: number,
  tableStart: number,
  startPage: number,
  endPage: number,
): number {
  const level = pool.level[table]!;
  const compact = pool.compact[table] === 1;
  const span = compact ? PAGES_64K : LEVEL_PAGES[level as 0];
  const base = pool.base(table);
  const first = Math.max(0, Math.floor((startPage - tableStart) / span));
  const last = Math.min(compact ? PT_COMPACT_ENTRIES : PT_ENTRIES, Math.ceil((endPage - tableStart) / span));
  let present = 0;
  for (let i = first; i < last; i++) {
    const entryStart = tableStart + i * span;
    const child = level > 0 ? pool.children(table)[i]! : NO_TABLE;
    const reachable = (pool.words[base + i * 2]! & XE_PAGE_PRESENT) !== 0;
    const inside = entryStart >= startPage && entryStart + span <= endPage;
    if (child === NO_TABLE || inside) {
      if (reachable) present++;
      if (child !== NO_TABLE) pool.freeTree(child);
    } else {
      const below = ptUnbindRange(pool, child, entryStart, startPage, endPage);
      // Entries below a pointer that a zap has zeroed cannot be reached.
      if (reachable) present += below;
      if (pool.live[child]! > 0) continue;
      pool.free(child);
    }
    if (child !== NO_TABLE) pool.children(table)[i] = NO_TABLE;
    pool.words[base + i * 2] = 0;
    pool.words[base + i * 2 + 1] = 0;
    pool.countWrites(1);
    if (level > 0) pool.directoryVersion++;
    pool.live[table]!--;
  }
  return present;
}
