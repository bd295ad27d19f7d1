import type { PtPool } from './pt.ts';
import {
  entryFrame,
  LEVEL_PAGES,
  PAGES_64K,
  PT_COMPACT_ENTRIES,
  PT_ENTRIES,
  XE_PAGE_PRESENT,
} from './pt-encoding.ts';
import { NO_TABLE } from './pt.ts';

/**
 * Call `fn` for every interval of `[startPage, endPage)` that the hardware can reach through a table, in order; leaves that
 * follow each other are not joined. Cost: linear in the tables that exist.
 */
export function forEachMapped(
  pool: PtPool,
  root: number,
  startPage: number,
  endPage: number,
  fn: (from: number, to: number) => void,
): void {
  visit(root, 0);

  function visit(table: number, tableStart: number): void {
    const level = pool.level[table]!;
    const compact = pool.compact[table] === 1;
    const span = compact ? PAGES_64K : LEVEL_PAGES[level as 0];
    const entries = compact ? PT_COMPACT_ENTRIES : PT_ENTRIES;
    const base = pool.base(table);
    const first = Math.max(0, Math.floor((startPage - tableStart) / span));
    const last = Math.min(entries, Math.ceil((endPage - tableStart) / span));
    for (let i = first; i < last; i++) {
      const low = pool.words[base + i * 2]!;
      if ((low & XE_PAGE_PRESENT) === 0) continue;
      const from = tableStart + i * span;
      const isTable = level > 0 && pool.children(table)[i]! !== NO_TABLE;
      if (isTable) visit(entryFrame(low, pool.words[base + i * 2 + 1]!), from);
      else fn(Math.max(from, startPage), Math.min(from + span, endPage));
    }
  }
}
