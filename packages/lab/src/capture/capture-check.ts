import { HPAGE_PMD_NR, PMD_ORDER } from '@gpusvm/kernel';
import { type Capture, type CaptureVma, PageFlag } from './capture.ts';

/** Bounds that every capture keeps, so that a damaged or hostile file cannot ask for more. */
export const CaptureLimit: Readonly<
  Record<'VMAS' | 'RUNS' | 'VIRTUAL_PAGES' | 'PFNS' | 'ORDER' | 'MODELLED_PAGES' | 'TEXT_BYTES', number>
> = {
  /** VMAs; far above the kernel's default vm.max_map_count of 65530. */
  VMAS: 2 ** 20,
  /** Runs. */
  RUNS: 2 ** 24,
  /** End of the virtual page numbers: a 64-bit address over 4096. */
  VIRTUAL_PAGES: 2 ** 52,
  /** End of the pfns: a 52-bit physical address over 4096. */
  PFNS: 2 ** 40,
  /** Highest folio order: 1 GiB hugetlb pages are order 18. */
  ORDER: 18,
  /** Pages of a modelled capture, since the model can make a run for each: 64 GiB. */
  MODELLED_PAGES: 2 ** 24,
  /** UTF-8 bytes of a name or note. */
  TEXT_BYTES: 4096,
};

/**
 * Checks what every capture promises. O(vmas + runs).
 *
 * @param capture - the capture
 * @returns the first broken promise, without a full stop, or undefined when all hold
 */
export function findCaptureProblem(capture: Capture): string | undefined {
  return findHeaderProblem(capture) ?? findVmaProblem(capture.vmas) ?? findRunProblem(capture);
}

function isIndex(value: number, end: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < end;
}

function findHeaderProblem(capture: Capture): string | undefined {
  if ((capture.physical === 'modelled') !== (capture.seed !== undefined)) {
    return `a ${capture.physical} capture has ${capture.seed === undefined ? 'no' : 'a'} seed`;
  }
  if (capture.seed !== undefined && !isIndex(capture.seed, 2 ** 32))
    return `seed ${capture.seed} is not a u32`;
  if (capture.ramPages !== undefined && !isIndex(capture.ramPages, CaptureLimit.PFNS)) {
    return `ramPages ${capture.ramPages} is out of range`;
  }
  return undefined;
}

function findVmaProblem(vmas: readonly CaptureVma[]): string | undefined {
  if (vmas.length > CaptureLimit.VMAS) return `${vmas.length} VMAs are more than ${CaptureLimit.VMAS}`;
  let previousEnd = 0;
  for (const [index, { startPage, endPage }] of vmas.entries()) {
    if (
      !isIndex(startPage, CaptureLimit.VIRTUAL_PAGES) ||
      !isIndex(endPage, CaptureLimit.VIRTUAL_PAGES + 1)
    ) {
      return `VMA ${index} leaves the address space`;
    }
    if (endPage <= startPage) return `VMA ${index} is empty`;
    if (startPage < previousEnd) return `VMA ${index} begins before the one ahead of it ends`;
    previousEnd = endPage;
  }
  return undefined;
}

function findRunProblem(capture: Capture): string | undefined {
  const { startPage, pageCount, pfn, order, flags } = capture.runs;
  const length = startPage.length;
  const modelled = capture.physical === 'modelled';
  if ([pageCount, pfn, order, flags].some((column) => column.length !== length)) {
    return 'the columns of the runs differ in length';
  }
  if (length > CaptureLimit.RUNS) return `${length} runs are more than ${CaptureLimit.RUNS}`;
  let vma = 0;
  let previousEnd = 0;
  let pages = 0;
  for (let i = 0; i < length; i++) {
    const start = startPage[i] ?? 0;
    const count = pageCount[i] ?? 0;
    while (vma < capture.vmas.length && start >= (capture.vmas[vma]?.endPage ?? 0)) vma++;
    const problem =
      findPlaceProblem(start, count, previousEnd, capture.vmas[vma]) ??
      findFrameProblem(start, count, pfn[i] ?? 0, order[i] ?? 0, flags[i] ?? 0) ??
      (modelled && ((flags[i] ?? 0) & PageFlag.ZERO) !== 0
        ? 'is a zero page, which is not modelled'
        : undefined);
    if (problem !== undefined) return `run ${i} ${problem}`;
    previousEnd = start + count;
    pages += count;
  }
  if (modelled && pages > CaptureLimit.MODELLED_PAGES) {
    return `${pages} modelled pages are more than ${CaptureLimit.MODELLED_PAGES}`;
  }
  return undefined;
}

function findPlaceProblem(
  start: number,
  count: number,
  previousEnd: number,
  vma: CaptureVma | undefined,
): string | undefined {
  if (!isIndex(start, CaptureLimit.VIRTUAL_PAGES)) return 'leaves the address space';
  if (count === 0) return 'is empty';
  if (start < previousEnd) return 'begins before the one ahead of it ends';
  if (vma === undefined || start < vma.startPage || start + count > vma.endPage)
    return 'is not inside one VMA';
  return vma.io ? 'is inside a VMA without ordinary pages' : undefined;
}

function findFrameProblem(
  start: number,
  count: number,
  pfn: number,
  order: number,
  flags: number,
): string | undefined {
  if (!isIndex(pfn, CaptureLimit.PFNS) || pfn + count > CaptureLimit.PFNS)
    return `has pfn ${pfn}, out of range`;
  if (order > CaptureLimit.ORDER) return `has folio order ${order}, above ${CaptureLimit.ORDER}`;
  if (flags > 31) return `has unknown flag bits (${flags})`;
  if ((flags & PageFlag.SWAPPED) !== 0) {
    const other = PageFlag.ZERO | PageFlag.PMD_MAPPED | PageFlag.SHARED;
    return pfn !== 0 || order !== 0 || (flags & other) !== 0
      ? 'is swapped out yet has a page frame'
      : undefined;
  }
  if ((flags & PageFlag.PMD_MAPPED) === 0) return undefined;
  if ([start, count, pfn].some((value) => value % HPAGE_PMD_NR !== 0))
    return 'is PMD-mapped but not aligned to 512 pages';
  return order < PMD_ORDER ? `is PMD-mapped with folio order ${order}` : undefined;
}
