import { type Capture, PageFlag } from './capture.ts';

/** Counts that describe a capture in one line. Pages are 4 KiB; swapped pages are not in `pages`. */
export interface CaptureTotals {
  /** Pages in memory. */
  readonly pages: number;
  /** Pages in swap. */
  readonly swappedPages: number;
  readonly vmas: number;
  /** Runs of pages in memory: contiguous in virtual and physical space, with one order and one set of flags. */
  readonly runs: number;
  /** Unpopulated gaps between the first and the last populated page of each VMA. */
  readonly holes: number;
  /** Pages in those gaps. */
  readonly holePages: number;
  /** Pages by folio order: `orders[0]` single pages, `orders[9]` PMD-sized folios; as long as the highest order. */
  readonly orders: readonly number[];
  /** Pages mapped by a PMD entry. */
  readonly pmdMappedPages: number;
  /** Mean length of a stretch contiguous in virtual and physical space, whatever its orders and flags, in pages. */
  readonly contiguityPages: number;
  /** Highest pfn plus one: the span that a simulated physical memory has to cover. */
  readonly pfnEnd: number;
}

interface Tally {
  pages: number;
  swappedPages: number;
  runs: number;
  holes: number;
  holePages: number;
  orders: number[];
  pmdMappedPages: number;
  stretches: number;
  pfnEnd: number;
}

/**
 * Counts pages, runs, holes and orders. O(vmas + runs).
 *
 * @param capture - a valid capture
 * @returns the totals
 */
export function captureTotals(capture: Capture): CaptureTotals {
  const tally = tallyRuns(capture);
  const { stretches, ...counts } = tally;
  return {
    ...counts,
    vmas: capture.vmas.length,
    contiguityPages: stretches === 0 ? 0 : tally.pages / stretches,
  };
}

function tallyRuns(capture: Capture): Tally {
  const { startPage, pageCount, pfn, order, flags } = capture.runs;
  const tally: Tally = {
    pages: 0,
    swappedPages: 0,
    runs: 0,
    holes: 0,
    holePages: 0,
    orders: [],
    pmdMappedPages: 0,
    stretches: 0,
    pfnEnd: 0,
  };
  let vma = 0;
  let runVma = -1;
  let nextPage = 0;
  let nextPfn = -1;
  for (let i = 0; i < startPage.length; i++) {
    const start = startPage[i] ?? 0;
    const count = pageCount[i] ?? 0;
    while (start >= (capture.vmas[vma]?.endPage ?? Infinity)) vma++;
    if (runVma === vma && start > nextPage) {
      tally.holes++;
      tally.holePages += start - nextPage;
    }
    const adjacent = runVma === vma && start === nextPage;
    runVma = vma;
    nextPage = start + count;
    if (((flags[i] ?? 0) & PageFlag.SWAPPED) !== 0) {
      tally.swappedPages += count;
      nextPfn = -1;
      continue;
    }
    const firstPfn = pfn[i] ?? 0;
    if (!adjacent || firstPfn !== nextPfn) tally.stretches++;
    nextPfn = firstPfn + count;
    addPresentRun(tally, count, nextPfn, order[i] ?? 0, flags[i] ?? 0);
  }
  return tally;
}

function addPresentRun(tally: Tally, count: number, pfnEnd: number, order: number, flags: number): void {
  tally.pages += count;
  tally.runs++;
  while (tally.orders.length <= order) tally.orders.push(0);
  tally.orders[order] = (tally.orders[order] ?? 0) + count;
  if ((flags & PageFlag.PMD_MAPPED) !== 0) tally.pmdMappedPages += count;
  tally.pfnEnd = Math.max(tally.pfnEnd, pfnEnd);
}
