import { type Capture, type CaptureVma, PageFlag } from '../capture/capture.ts';

/** One stretch of populated pages that takes part in the comparison. */
export interface Participant {
  /** Index of the capture's run. */
  readonly run: number;
  readonly vma: CaptureVma;
  readonly startPage: number;
  readonly pages: number;
  /** Number of the first page among all participating pages; names its contents. */
  readonly firstIndex: number;
  /** The shared zero page: reads as zeroes. */
  readonly zero: boolean;
}

/** The pages that a GPU can reach, and those it cannot, by reason. */
export interface Participants {
  readonly stretches: readonly Participant[];
  readonly vmas: readonly CaptureVma[];
  readonly pages: number;
  readonly skipped: readonly { readonly reason: string; readonly pages: number }[];
}

/** Sort a capture's populated pages into those that a GPU fault can reach and those it cannot. */
export function participants(capture: Capture): Participants {
  const { runs } = capture;
  const stretches: Participant[] = [];
  const skipped = new Map<string, number>();
  let pages = 0;
  let v = 0;
  for (let run = 0; run < runs.startPage.length; run++) {
    const startPage = runs.startPage[run]!;
    const count = runs.pageCount[run]!;
    while (capture.vmas[v]!.endPage <= startPage) v++;
    const vma = capture.vmas[v]!;
    const reason = refusal(vma) ?? ((runs.flags[run]! & PageFlag.SWAPPED) === 0 ? null : 'swapped out');
    if (reason !== null) {
      skipped.set(reason, (skipped.get(reason) ?? 0) + count);
      continue;
    }
    const zero = (runs.flags[run]! & PageFlag.ZERO) !== 0;
    stretches.push({ run, vma, startPage, pages: count, firstIndex: pages, zero });
    pages += count;
  }
  return {
    stretches,
    vmas: capture.vmas.filter((vma) => refusal(vma) === null),
    pages,
    skipped: [...skipped].map(([reason, n]) => ({ reason, pages: n })),
  };
}

/** Why the GPU cannot fault a mapping in, or null. */
function refusal(vma: CaptureVma): string | null {
  if (vma.io) return 'device and special mappings';
  if (!vma.prot.read) return 'no read permission';
  if (vma.hugetlb) return 'hugetlbfs, which the process model does not have yet';
  return null;
}
