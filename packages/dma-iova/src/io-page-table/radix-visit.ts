import type { Pfn } from '@gpusvm/kernel';
import type { RadixTable } from './radix-table.ts';
import { E_RUN_MASK, E_RUN_SHIFT, E_TABLE, ROOT } from './table-pool.ts';

/** Visit every leaf in `[first, end)` in address order; a leaf that overlaps an edge is visited whole. */
export function forEachLeaf(
  pt: RadixTable,
  fn: (page: number, pfn: Pfn, pages: number) => void,
  first: number,
  end: number,
): void {
  visit(pt, ROOT, pt.levels - 1, 0, first, end, fn);
}

function visit(
  pt: RadixTable,
  table: number,
  level: number,
  base: number,
  first: number,
  end: number,
  fn: (page: number, pfn: Pfn, pages: number) => void,
): void {
  const { lo, meta } = pt.pool;
  const span = pt.spans[level]!;
  const from = Math.max(0, Math.floor((first - base) / span));
  for (let i = from; i < pt.entries && base + i * span < end; ) {
    const e = table * pt.entries + i;
    const m = meta[e]!;
    const run = 1 << ((m & E_RUN_MASK) >>> E_RUN_SHIFT);
    if ((m & E_TABLE) !== 0) visit(pt, lo[e]!, level - 1, base + i * span, first, end, fn);
    else if (m !== 0) {
      const start = i - (i & (run - 1));
      fn(base + start * span, pt.entryPfn(table * pt.entries + start), run * span);
      i = start + run;
      continue;
    }
    i++;
  }
}

/** Tables linked below the root, counted by walking: what accounting must agree with. */
export function reachableTables(pt: RadixTable): number {
  return reachable(pt, ROOT, pt.levels - 1);
}

function reachable(pt: RadixTable, table: number, level: number): number {
  if (level === 0) return 0;
  const { lo, meta } = pt.pool;
  let count = 0;
  for (let e = table * pt.entries; e < (table + 1) * pt.entries; e++) {
    if ((meta[e]! & E_TABLE) !== 0) count += 1 + reachable(pt, lo[e]!, level - 1);
  }
  return count;
}
