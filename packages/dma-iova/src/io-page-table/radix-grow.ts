import { C_PTE_W, C_TBL_ALLOC } from '../dma-counters.ts';
import type { RadixTable } from './radix-table.ts';
import { E_TABLE, ROOT } from './table-pool.ts';

/**
 * Add levels at the top until `[0, endPage)` is covered (`increase_top` of generic_pt/iommu_pt.h;
 * `increase_address_space` of the legacy AMD driver). What the root held moves into a table below it, all or nothing:
 * a table that cannot be had leaves the top as it was. The top never shrinks again, so that table stays.
 *
 * Translations do not change, so no invalidation follows. Moving costs the entries of one table a level.
 *
 * @returns false when a table page is missing.
 */
export function growTop(pt: RadixTable, endPage: number): boolean {
  if (endPage <= pt.pages) return true;
  const { pool } = pt;
  let chain = 0;
  let count = 0;
  for (let span = pt.pages; span < endPage; span *= pt.entries) {
    const table = pool.alloc();
    if (table === 0) {
      pool.releaseChain(chain);
      return false;
    }
    pool.next[table] = chain;
    chain = table;
    count++;
  }
  pt.counters[C_TBL_ALLOC]! += count;
  pt.counters[C_PTE_W]! += count;
  while (chain !== 0) {
    const table = chain;
    chain = pool.next[table]!;
    pool.next[table] = 0;
    pushDown(pt, table);
  }
  return true;
}

/** Move the root's entries into `table` and make that the root's only entry. */
function pushDown(pt: RadixTable, table: number): void {
  const { lo, meta, live } = pt.pool;
  const from = ROOT * pt.entries;
  const to = table * pt.entries;
  lo.copyWithin(to, from, from + pt.entries);
  meta.copyWithin(to, from, from + pt.entries);
  lo.fill(0, from, from + pt.entries);
  meta.fill(0, from, from + pt.entries);
  live[table] = live[ROOT]!;
  lo[from] = table;
  meta[from] = E_TABLE;
  live[ROOT] = live[table] > 0 ? 1 : 0;
  if (live[table] === 0) pt.pin(1);
  pt.setLevels(pt.levels + 1);
}
