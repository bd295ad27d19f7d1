import { C_LVL_TOUCH, C_PTE_W, C_WALK } from '../dma-counters.ts';
import type { IotlbGather } from '../iotlb-gather.ts';
import type { RadixTable } from './radix-table.ts';
import { E_RUN_MASK, E_RUN_SHIFT, E_TABLE, ENTRIES, ROOT, type TablePool } from './table-pool.ts';

// V8 folds a module's own constants, not imported ones.
const N = ENTRIES;
const TABLE = E_TABLE;
const RUN_MASK = E_RUN_MASK;
const RUN_SHIFT = E_RUN_SHIFT;
const LVL_TOUCH = C_LVL_TOUCH;
const PTE_W = C_PTE_W;
const WALK = C_WALK;

/** Why a walk ended early. One object a domain, reused. */
export interface UnmapProgress {
  /** The walk met a hole, or a leaf that it may not touch. */
  stopped: boolean;
  /** Page at which it stopped. */
  stopPage: number;
  /** Pages cleared (differs from the way walked in formats that step over holes). */
  cleared: number;
}

/**
 * Clear `[page, page + pages)` in address order as the format says: generic_pt ends at the first empty entry of
 * any level, removes a large leaf whole when the range ends inside it, and clears nothing when the range starts
 * inside one. Tables that one call covers and clears completely are unlinked into the gather.
 *
 * @returns the page reached; less than the end when stopped, more when a large leaf went beyond it.
 */
export function radixUnmap(
  pt: RadixTable,
  page: number,
  pages: number,
  gather: IotlbGather,
  out: UnmapProgress,
): number {
  out.stopped = false;
  out.stopPage = 0;
  out.cleared = 0;
  pt.endStreak();
  pt.counters[WALK]!++;
  if (page + pages > pt.pages) {
    // generic_pt refuses a range that its top does not cover; a legacy driver walks up to there.
    const upTo = pt.format.unmap.startInsideLeaf === 'refuse' ? page : pt.pages;
    if (upTo <= page) {
      stop(out, page);
      return page;
    }
    const reached = unmapLevel(pt, ROOT, pt.levels - 1, page, upTo, gather, out);
    if (!out.stopped) stop(out, reached);
    pt.addMapped(-out.cleared);
    return reached;
  }
  const reached = unmapLevel(pt, ROOT, pt.levels - 1, page, page + pages, gather, out);
  pt.addMapped(-out.cleared);
  return reached;
}

function unmapLevel(
  pt: RadixTable,
  table: number,
  level: number,
  from: number,
  end: number,
  gather: IotlbGather,
  out: UnmapProgress,
): number {
  pt.counters[LVL_TOUCH]!++;
  if (level === 0 && pt.simpleLeaves && pt.format.unmap.hole === 'stop')
    return unmapLeaves(pt, table, from, end, out);
  const { lo, meta, live } = pt.pool;
  const span = pt.spans[level]!;
  let page = from;
  while (page < end) {
    const e = table * pt.entries + pt.index(page, level);
    const m = meta[e]!;
    const next = (Math.floor(page / span) + 1) * span;
    if (m === 0) {
      const rule = level === 0 ? pt.format.unmap.hole : pt.format.unmap.missingTable;
      if (rule === 'stop') {
        stop(out, page);
        break;
      }
      page = next;
    } else if ((m & TABLE) !== 0) {
      const child = lo[e]!;
      const to = next < end ? next : end;
      const wasPinned = live[child] === 0;
      const reached = unmapLevel(pt, child, level - 1, page, to, gather, out);
      const covered = page === next - span && to === next && !out.stopped;
      if (covered && pt.format.unmap.freeTables === 'covered') {
        if (wasPinned) pt.pin(-1);
        else live[table]!--;
        meta[e] = 0;
        pt.counters[PTE_W]!++;
        pt.queueTable(child, level - 1, page, gather);
      } else if (!wasPinned && live[child] === 0) {
        pt.pin(1);
        live[table]!--;
      }
      page = reached;
      if (out.stopped) break;
    } else if (level === 0 && pt.small && (m & RUN_MASK) === 0) {
      page = unmapSingles(pt, table, page, end, out);
    } else {
      page = unmapLeaf(pt, table, level, e, page, end, out);
      if (out.stopped) break;
    }
  }
  return page;
}

/** Clear the single entries from a page on, up to a hole, a leaf of several entries or the end. */
function unmapSingles(pt: RadixTable, table: number, from: number, end: number, out: UnmapProgress): number {
  const { meta, live } = pt.pool;
  const first = table * N + (from & 511);
  const last = first + (end - from);
  let e = first;
  for (; e < last; e++) {
    const m = meta[e]!;
    if (m === 0 || (m & RUN_MASK) !== 0) break;
    meta[e] = 0;
  }
  const n = e - first;
  live[table]! -= n;
  pt.counters[PTE_W]! += n;
  out.cleared += n;
  return from + n;
}

/** Clear a run of a lowest-level table whose leaves are single entries. */
function unmapLeaves(pt: RadixTable, table: number, from: number, end: number, out: UnmapProgress): number {
  const { meta, live } = pt.pool;
  const first = table * N + (from & 511);
  const last = first + (end - from);
  const e = live[table] === N ? last : firstEmpty(pt.pool, first, last);
  const n = e - first;
  meta.fill(0, first, e);
  live[table]! -= n;
  pt.counters[PTE_W]! += n;
  out.cleared += n;
  if (e < last) stop(out, from + n);
  return from + n;
}

/** First empty entry of `[first, last)`; `last` when there is none. Two entries a step. */
function firstEmpty(pool: TablePool, first: number, last: number): number {
  const { meta, metaPairs } = pool;
  let e = first;
  if ((e & 1) !== 0 && e < last && meta[e] !== 0) e++;
  if ((e & 1) === 0) {
    for (; e + 1 < last; e += 2) {
      const pair = metaPairs[e >>> 1]!;
      // Non-zero exactly when one of the halves is zero.
      if (((pair - 0x00010001) & ~pair & 0x80008000) !== 0) break;
    }
  }
  while (e < last && meta[e] !== 0) e++;
  return e;
}

/** Clear the leaf of entry `e`, which may be a run; a leaf is never divided. */
function unmapLeaf(
  pt: RadixTable,
  table: number,
  level: number,
  e: number,
  page: number,
  end: number,
  out: UnmapProgress,
): number {
  const run = 1 << ((pt.pool.meta[e]! & RUN_MASK) >>> RUN_SHIFT);
  const pages = run * pt.spans[level]!;
  const base = Math.floor(page / pages) * pages;
  const model = pt.format.unmap;
  if (
    (base !== page && model.startInsideLeaf === 'refuse') ||
    (base + pages > end && model.endInsideLeaf === 'refuse')
  ) {
    stop(out, page);
    return page;
  }
  const start = e - (e & (run - 1));
  if (run === 1) pt.pool.meta[start] = 0;
  else pt.pool.meta.fill(0, start, start + run);
  pt.pool.live[table]! -= run;
  pt.counters[PTE_W]! += run;
  out.cleared += pages;
  return base + pages;
}

function stop(out: UnmapProgress, page: number): void {
  out.stopped = true;
  out.stopPage = page;
}
