import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { HPAGE_PMD_NR, PMD_ORDER } from '@gpusvm/kernel';
import { type CaptureVma, PageFlag, type PageRuns } from './capture.ts';
import { BLOCK_PAGES, FrameSource } from './frame-source.ts';
import { observedRuns } from './observed-runs.ts';
import { PageRunsBuilder } from './page-runs.ts';

/** Memory of the machine that is modelled when the capture does not tell: 16 GiB. */
const DEFAULT_RAM_PAGES = 2 ** 22;

/** Blocks kept free for each block of pages needed, so that the source cannot run dry. */
const HEADROOM = 4;

/** Folio orders that readahead leaves in the page cache, each as often as it is named here. */
const FILE_ORDERS: readonly number[] = [0, 0, 0, 2, 2, 3, 4];

/** The page cache is filled in windows of 16 pages, each with one folio order. */
const FILE_WINDOW_PAGES = 16;

/**
 * Gives pfns and folio orders to pages whose frames the kernel hid. A pure function of its arguments.
 *
 * @param vmas - the VMAs
 * @param runs - the observed runs; their pfns and orders are ignored, so modelling twice changes nothing
 * @param seed - u32
 * @param ramPages - memory of the machine in pages
 * @returns runs of the same pages and flags with modelled frames
 *
 * @remarks
 * Assumptions: a PMD-mapped run has folios of order 9, since smaps showed them; every other anonymous page is a folio
 * of order 0, as mTHP is off by default; page cache has small folios aligned to the virtual address, mapped in part
 * where the population is; single pages come from free memory as {@link FrameSource} models it. No frame is mapped
 * twice, and zero pages are not modelled. The frames are plausible, not those of the process: a comparison on a modelled
 * capture holds for its layout and population only. O(pages).
 */
export function modelPhysical(
  vmas: readonly CaptureVma[],
  runs: PageRuns,
  seed: number,
  ramPages: number = DEFAULT_RAM_PAGES,
): PageRuns {
  const observed = observedRuns(vmas, runs);
  const pages = observed.pageCount.reduce((sum, count) => sum + count, 0);
  const needed = Math.ceil(pages / BLOCK_PAGES) * HEADROOM * FILE_WINDOW_PAGES + HEADROOM;
  const rng = xoroshiro128plus(seed);
  const frames = new FrameSource(rng, Math.max(needed, Math.floor(ramPages / BLOCK_PAGES)));
  const builder = new PageRunsBuilder();
  let vma = 0;
  for (const [i, start] of observed.startPage.entries()) {
    while (start >= (vmas[vma]?.endPage ?? Infinity)) {
      vma++;
      builder.seal();
    }
    modelRun({ builder, frames, rng }, start, observed.pageCount[i] ?? 0, observed.flags[i] ?? 0);
  }
  return builder.finish();
}

interface Model {
  readonly builder: PageRunsBuilder;
  readonly frames: FrameSource;
  readonly rng: RandomGenerator;
}

function modelRun({ builder, frames, rng }: Model, start: number, count: number, flags: number): void {
  const end = start + count;
  if ((flags & PageFlag.SWAPPED) !== 0) {
    builder.append(start, count, 0, 0, flags);
    return;
  }
  if ((flags & PageFlag.PMD_MAPPED) !== 0) {
    for (let page = start; page < end; page += HPAGE_PMD_NR) {
      builder.append(page, HPAGE_PMD_NR, frames.takeFolio(PMD_ORDER), PMD_ORDER, flags);
    }
    return;
  }
  if ((flags & PageFlag.ANON) !== 0) {
    for (let page = start; page < end; page++) builder.append(page, 1, frames.takePage(), 0, flags);
    return;
  }
  for (let page = start; page < end; ) {
    const windowEnd = Math.min(end, (Math.floor(page / FILE_WINDOW_PAGES) + 1) * FILE_WINDOW_PAGES);
    const order = FILE_ORDERS[uniformInt(rng, 0, FILE_ORDERS.length - 1)] ?? 0;
    const folioPages = 2 ** order;
    while (page < windowEnd) {
      const offset = page % folioPages;
      const folioEnd = Math.min(windowEnd, page - offset + folioPages);
      const pfn = order === 0 ? frames.takePage() : frames.takeFolio(order) + offset;
      builder.append(page, folioEnd - page, pfn, order, flags);
      page = folioEnd;
    }
  }
}
