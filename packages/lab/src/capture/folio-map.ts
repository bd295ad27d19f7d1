import { readSync } from 'node:fs';
import { CaptureLimit } from './capture-check.ts';
import { WORD_LOW } from './pagemap-entry.ts';

/** Bits of a `/proc/kpageflags` entry (Linux include/uapi/linux/kernel-page-flags.h). */
export const KernelPageFlag: Readonly<Record<'COMPOUND_HEAD' | 'COMPOUND_TAIL' | 'ZERO_PAGE', number>> = {
  COMPOUND_HEAD: 2 ** 15,
  COMPOUND_TAIL: 2 ** 16,
  ZERO_PAGE: 2 ** 24,
};

/** Pfns read at once: the kernel's cost is a page's flags each, so a window is no larger than a PMD folio. */
const WINDOW_PFNS = 512;

/** Windows kept, oldest dropped first: 2 MiB. */
const MAX_WINDOWS = 512;

/**
 * Finds the folio of a page from `/proc/kpageflags`. A folio's order is not in that file: it is the number of tail
 * pages that follow the head, counted in physical space, so folios that are mapped in part are still found whole.
 */
export class FolioMap {
  /** Bytes read from kpageflags. */
  bytesRead = 0;
  /** Compound pages whose size was no power of two, because they changed while they were read; taken as order 0. */
  inconsistent = 0;
  readonly #fd: number;
  readonly #windows: Map<number, Uint32Array> = new Map();
  #head = 0;
  #end = 0;
  #order = 0;

  /** @param fd - `/proc/kpageflags`, open for reading */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @param pfn - a page
   * @returns the order of its folio; O(1) inside the folio of the previous call
   */
  order(pfn: number): number {
    if (pfn < this.#head || pfn >= this.#end) this.#locate(pfn);
    return this.#order;
  }

  /**
   * @param pfn - a page
   * @returns whether it is the zero page or part of the huge zero page
   */
  isZero(pfn: number): boolean {
    return (this.#flags(pfn) & KernelPageFlag.ZERO_PAGE) !== 0;
  }

  #locate(pfn: number): void {
    const limit = 2 ** CaptureLimit.ORDER;
    let head = pfn;
    while (pfn - head < limit && (this.#flags(head) & KernelPageFlag.COMPOUND_TAIL) !== 0 && head > 0) head--;
    let end = head + 1;
    if ((this.#flags(head) & KernelPageFlag.COMPOUND_HEAD) !== 0) {
      while (end - head < limit && (this.#flags(end) & KernelPageFlag.COMPOUND_TAIL) !== 0) end++;
    }
    const order = Math.log2(end - head);
    if (Number.isInteger(order) && head % (end - head) === 0 && pfn < end) {
      this.#head = head;
      this.#end = end;
      this.#order = order;
      return;
    }
    this.inconsistent++;
    this.#head = pfn;
    this.#end = pfn + 1;
    this.#order = 0;
  }

  /** Flags of a pfn; 0 above the end of memory, as for device memory. */
  #flags(pfn: number): number {
    const index = Math.floor(pfn / WINDOW_PFNS);
    const window = this.#windows.get(index) ?? this.#readWindow(index);
    return window[(pfn - index * WINDOW_PFNS) * 2 + WORD_LOW] ?? 0;
  }

  #readWindow(index: number): Uint32Array {
    const window = new Uint32Array(WINDOW_PFNS * 2);
    this.bytesRead += readSync(this.#fd, window, 0, window.byteLength, index * WINDOW_PFNS * 8);
    if (this.#windows.size >= MAX_WINDOWS) {
      const [oldest = index] = this.#windows.keys();
      this.#windows.delete(oldest);
    }
    this.#windows.set(index, window);
    return window;
  }
}
