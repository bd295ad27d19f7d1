import { PMD_ORDER } from '@gpusvm/kernel';
import { type CaptureVma, PageFlag, type PageRuns } from './capture.ts';
import { PageRunsBuilder } from './page-runs.ts';

/**
 * Reduces runs to what can be seen without privilege: where pages are and their flags. O(vmas + runs).
 *
 * @param vmas - the VMAs that hold the runs
 * @param runs - any runs; pfns and orders are ignored
 * @returns the fewest runs that say the same, with pfns of 0 and the orders of {@link observedOrders}
 */
export function observedRuns(vmas: readonly CaptureVma[], runs: PageRuns): PageRuns {
  const builder = new PageRunsBuilder();
  let vma = 0;
  for (const [i, start] of runs.startPage.entries()) {
    while (start >= (vmas[vma]?.endPage ?? Infinity)) {
      vma++;
      builder.seal();
    }
    // The page number stands in for the pfn, so that neighbours with equal flags merge.
    builder.append(start, runs.pageCount[i] ?? 0, start, 0, runs.flags[i] ?? 0);
  }
  const { startPage, pageCount, pfn, flags } = builder.finish();
  return { startPage, pageCount, pfn: pfn.fill(0), order: observedOrders(flags), flags };
}

/**
 * @param flags - {@link PageFlag} bits of each run
 * @returns the order that the flags alone imply: 9 where a PMD maps the pages, else 0
 */
export function observedOrders(flags: Uint8Array): Uint8Array {
  return flags.map((bits) => ((bits & PageFlag.PMD_MAPPED) !== 0 ? PMD_ORDER : 0));
}
