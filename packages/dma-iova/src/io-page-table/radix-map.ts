import { EADDRINUSE, EEXIST, ENOMEM, type Errno, type Pfn } from '@gpusvm/kernel';
import { C_LVL_TOUCH, C_PTE_W, C_TBL_ALLOC, C_WALK } from '../dma-counters.ts';
import type { IotlbGather } from '../iotlb-gather.ts';
import { growTop } from './radix-grow.ts';
import type { RadixTable } from './radix-table.ts';
import { E_TABLE, ENTRIES, ROOT } from './table-pool.ts';

// V8 folds a module's own constants, not imported ones.
const N = ENTRIES;
const TABLE = E_TABLE;
const LVL_TOUCH = C_LVL_TOUCH;
const PTE_W = C_PTE_W;
const WALK = C_WALK;

/** How far a map went and why it ended. One object a domain, reused. */
export interface MapProgress {
  /** Page reached; everything before it is mapped. */
  page: number;
  err: Errno;
  /** Pages whose entries replaced empty tables: they need an invalidation at once (clear_contig). */
  replacedStart: number;
  replacedEnd: number;
}

/**
 * Map `[page, page + pages)` to `pfn` on, one descent a table, choosing at every position the biggest leaf that
 * fits. Stops at the first occupied slot or failed table allocation; the caller undoes what was mapped.
 *
 * Counterpart: `map_range` of generic_pt/iommu_pt.h (7.1 and later: one walk, no restart at the root).
 */
export function radixMap(
  pt: RadixTable,
  page: number,
  pfn: Pfn,
  pages: number,
  flags: number,
  gather: IotlbGather,
  out: MapProgress,
): void {
  out.err = 0;
  out.replacedStart = 0;
  out.replacedEnd = 0;
  pt.endStreak();
  pt.counters[WALK]!++;
  if (page + pages > pt.pages && !growTop(pt, page + pages)) {
    out.page = page;
    out.err = -ENOMEM;
    return;
  }
  out.page = mapLevel(pt, ROOT, pt.levels - 1, page, page + pages, pfn - page, flags, gather, out);
}

function mapLevel(
  pt: RadixTable,
  table: number,
  level: number,
  from: number,
  end: number,
  delta: number,
  flags: number,
  gather: IotlbGather,
  out: MapProgress,
): number {
  pt.counters[LVL_TOUCH]!++;
  // Both sides of a leaf of more than one page are even: with an odd distance there is none.
  if (level === 0 && (pt.simpleLeaves || (pt.small && (delta & 1) !== 0)))
    return mapLeaves(pt, table, from, end, delta, flags, out);
  const span = pt.spans[level]!;
  for (let page = from; page < end; ) {
    const index = pt.index(page, level);
    const order = pt.leafOrder.best(page, page + delta, end - page);
    if (order >= pt.shifts[level]!) {
      const run = order - pt.shifts[level]!;
      if (!clearSlots(pt, table, level, index, run, page, gather, out)) return page;
      pt.writeLeaf(table * pt.entries + index, level, page + delta, flags, run);
      pt.pool.live[table]! += 1 << run;
      pt.counters[PTE_W]! += 1 << run;
      page += span * (1 << run);
      continue;
    }
    const next = (Math.floor(page / span) + 1) * span;
    const stop = next < end ? next : end;
    const child = childTable(pt, table * pt.entries + index, level, page, out);
    if (child === 0) return page;
    const wasEmpty = pt.pool.live[child] === 0;
    const reached = mapLevel(pt, child, level - 1, page, stop, delta, flags, gather, out);
    if (wasEmpty && pt.pool.live[child]! > 0) {
      pt.pin(-1);
      pt.pool.live[table]!++;
    }
    if (reached < stop) return reached;
    page = reached;
  }
  return end;
}

/** Fill a run of a lowest-level table of a format without contiguous runs: one test and two stores a page. */
function mapLeaves(
  pt: RadixTable,
  table: number,
  from: number,
  end: number,
  delta: number,
  flags: number,
  out: MapProgress,
): number {
  const { lo, meta } = pt.pool;
  const n = end - from;
  const first = table * N + (from & 511);
  const pfn = from + delta;
  let i = 0;
  if (pfn + n <= 4294967296) {
    if (pt.pool.live[table] === 0) {
      // Nothing can be in the way.
      meta.fill(flags, first, first + n);
      for (let at = pfn | 0; i < n; i++, at++) lo[first + i] = at;
    } else {
      for (; i < n && meta[first + i] === 0; i++) {
        lo[first + i] = pfn + i;
        meta[first + i] = flags;
      }
    }
    pt.addMapped(i);
  } else {
    for (; i < n && meta[first + i] === 0; i++) pt.writeLeaf(first + i, 0, pfn + i, flags, 0);
  }
  if (i < n) occupied(pt, out);
  pt.pool.live[table]! += i;
  pt.counters[PTE_W]! += i;
  return from + i;
}

/** A slot is in use: the map ends here with the format's errno. */
function occupied(pt: RadixTable, out: MapProgress): void {
  out.err = pt.format.occupied === 'eexist-warn' ? -EEXIST : -EADDRINUSE;
}

/** The table below entry `e`, installed when the entry is empty; 0 with `out.err` set when there can be none. */
function childTable(pt: RadixTable, e: number, level: number, page: number, out: MapProgress): number {
  const m = pt.pool.meta[e]!;
  if ((m & TABLE) !== 0) return pt.pool.lo[e]!;
  if (m !== 0) {
    occupied(pt, out); // a leaf covers the whole slot
    return 0;
  }
  const child = pt.pool.alloc();
  if (child === 0) {
    out.err = -ENOMEM;
    return 0;
  }
  pt.pool.lo[e] = child;
  pt.pool.meta[e] = TABLE;
  pt.counters[C_TBL_ALLOC]!++;
  pt.counters[PTE_W]!++;
  pt.pin(1);
  return child;
}

/**
 * Make the slots of one leaf free: empty ones are, empty tables are unlinked through the gather, anything live
 * is an error and nothing has changed.
 */
function clearSlots(
  pt: RadixTable,
  table: number,
  level: number,
  index: number,
  run: number,
  page: number,
  gather: IotlbGather,
  out: MapProgress,
): boolean {
  const { lo, meta, live } = pt.pool;
  const first = table * pt.entries + index;
  const n = 1 << run;
  let tables = 0;
  for (let e = first; e < first + n; e++) {
    const m = meta[e]!;
    if (m === 0) continue;
    if ((m & TABLE) !== 0 && live[lo[e]!] === 0) {
      tables++;
    } else {
      occupied(pt, out);
      return false;
    }
  }
  if (tables === 0) return true;
  for (let e = first; e < first + n; e++) {
    if ((meta[e]! & TABLE) === 0) continue;
    queueEmptySubtree(pt, lo[e]!, level - 1, page + (e - first) * pt.spans[level]!, gather);
    meta[e] = 0;
  }
  const end = page + pt.spans[level]! * n;
  if (out.replacedEnd === 0) out.replacedStart = page;
  out.replacedEnd = end;
  return true;
}

/** Unlink a table of a level that maps nothing, and every table below it; its first entry translates `page`. */
export function queueEmptySubtree(
  pt: RadixTable,
  table: number,
  level: number,
  page: number,
  gather: IotlbGather,
): void {
  const { lo, meta } = pt.pool;
  if (level > 0) {
    for (let e = table * pt.entries; e < (table + 1) * pt.entries; e++) {
      if (meta[e] === 0) continue;
      queueEmptySubtree(pt, lo[e]!, level - 1, page + (e - table * pt.entries) * pt.spans[level]!, gather);
      meta[e] = 0;
    }
  }
  pt.pin(-1);
  pt.queueTable(table, level, page, gather);
}
