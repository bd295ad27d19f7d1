import { C_LVL_TOUCH, C_PTE_W, C_WALK } from '../dma-counters.ts';
import type { IotlbGather } from '../iotlb-gather.ts';
import { queueEmptySubtree } from './radix-map.ts';
import type { RadixTable } from './radix-table.ts';
import { E_RUN_MASK, E_RUN_SHIFT, E_TABLE, ENTRIES, ROOT } from './table-pool.ts';

/** What a hole-tolerant unmap found. */
export interface HoleReport {
  clearedPages: number;
  /** Maximal runs of unmapped pages. */
  holes: number;
  /** Page of the first hole, -1 when there is none. */
  firstHolePage: number;
  /** Leaves that reach beyond the range and were left alone. */
  foreignLeaves: number;
  /** Page after the last one visited as a hole, to tell runs apart. */
  holeEnd: number;
}

/**
 * Clear whatever is mapped in `[page, page + pages)`: empty entries and the spans of missing or empty tables are
 * stepped over, and every table inside the range is freed even if it was partly empty (specification section 4).
 */
export function radixUnmapHoles(
  pt: RadixTable,
  page: number,
  pages: number,
  gather: IotlbGather,
  out: HoleReport,
): void {
  out.clearedPages = 0;
  out.holes = 0;
  out.firstHolePage = -1;
  out.foreignLeaves = 0;
  out.holeEnd = -1;
  pt.endStreak();
  pt.counters[C_WALK]!++;
  const end = page + pages;
  if (page < pt.pages) clearLevel(pt, ROOT, pt.levels - 1, page, Math.min(end, pt.pages), gather, out);
  if (end > pt.pages) hole(out, Math.max(page, pt.pages), end);
  pt.addMapped(-out.clearedPages);
}

function clearLevel(
  pt: RadixTable,
  table: number,
  level: number,
  from: number,
  end: number,
  gather: IotlbGather,
  out: HoleReport,
): void {
  pt.counters[C_LVL_TOUCH]!++;
  if (level === 0 && pt.simpleLeaves) {
    clearLeaves(pt, table, from, end, out);
    return;
  }
  const meta = pt.pool.meta;
  const span = pt.spans[level]!;
  for (let page = from; page < end; ) {
    const e = table * pt.entries + pt.index(page, level);
    const m = meta[e]!;
    const next = (Math.floor(page / span) + 1) * span;
    const to = next < end ? next : end;
    if (m === 0) {
      hole(out, page, to);
    } else if ((m & E_TABLE) !== 0) {
      const covered = page === next - span && to === next;
      clearTable(pt, table, level, e, page, to, covered, gather, out);
    } else {
      page = clearLeaf(pt, table, level, e, page, end, out);
      continue;
    }
    page = to;
  }
}

function clearTable(
  pt: RadixTable,
  table: number,
  level: number,
  e: number,
  page: number,
  to: number,
  covered: boolean,
  gather: IotlbGather,
  out: HoleReport,
): void {
  const { lo, meta, live } = pt.pool;
  const child = lo[e]!;
  if (live[child] === 0) {
    hole(out, page, to);
    if (covered) {
      meta[e] = 0;
      pt.counters[C_PTE_W]!++;
      queueEmptySubtree(pt, child, level - 1, page, gather);
    }
    return;
  }
  clearLevel(pt, child, level - 1, page, to, gather, out);
  if (live[child] !== 0) return;
  live[table]!--;
  if (!covered) {
    pt.pin(1);
    return;
  }
  meta[e] = 0;
  pt.counters[C_PTE_W]!++;
  pt.queueTable(child, level - 1, page, gather);
}

function clearLeaf(
  pt: RadixTable,
  table: number,
  level: number,
  e: number,
  page: number,
  end: number,
  out: HoleReport,
): number {
  const run = 1 << ((pt.pool.meta[e]! & E_RUN_MASK) >>> E_RUN_SHIFT);
  const pages = run * pt.spans[level]!;
  const base = Math.floor(page / pages) * pages;
  if (base < page || base + pages > end) {
    out.foreignLeaves++;
    return base + pages;
  }
  pt.pool.meta.fill(0, e, e + run);
  pt.pool.live[table]! -= run;
  pt.counters[C_PTE_W]! += run;
  out.clearedPages += pages;
  return base + pages;
}

/** One pass over a run of single-entry leaves; holes are noted where they begin. */
function clearLeaves(pt: RadixTable, table: number, from: number, end: number, out: HoleReport): void {
  const meta = pt.pool.meta;
  const first = table * ENTRIES + (from & 511);
  const n = end - from;
  let cleared = 0;
  let holeStart = -1;
  for (let i = 0; i < n; i++) {
    if (meta[first + i] !== 0) {
      meta[first + i] = 0;
      cleared++;
      if (holeStart >= 0) {
        hole(out, from + holeStart, from + i);
        holeStart = -1;
      }
    } else if (holeStart < 0) {
      holeStart = i;
    }
  }
  if (holeStart >= 0) hole(out, from + holeStart, end);
  pt.pool.live[table]! -= cleared;
  pt.counters[C_PTE_W]! += cleared;
  out.clearedPages += cleared;
}

/** Note the hole `[start, end)`; it continues the previous one when they touch. */
function hole(out: HoleReport, start: number, end: number): void {
  if (out.holeEnd !== start) {
    out.holes++;
    if (out.firstHolePage < 0) out.firstHolePage = start;
  }
  out.holeEnd = end;
}
