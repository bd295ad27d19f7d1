import { PageFlag, type PageRuns } from './capture.ts';

const MAX_RUN_PAGES = 0xffff_ffff;

/** Grows {@link PageRuns} by appending pages in virtual order; adjacent equal pieces merge. */
export class PageRunsBuilder {
  #length = 0;
  #sealed = true;
  #startPage: Float64Array = new Float64Array(256);
  #pageCount: Uint32Array = new Uint32Array(256);
  #pfn: Float64Array = new Float64Array(256);
  #order: Uint8Array = new Uint8Array(256);
  #flags: Uint8Array = new Uint8Array(256);

  /**
   * Appends pages after everything appended so far. Amortised O(1).
   *
   * @param startPage - first virtual page
   * @param pageCount - pages, at least 1
   * @param pfn - first pfn; 0 for a swapped run
   * @param order - folio order; 0 for a swapped run
   * @param flags - {@link PageFlag} bits
   */
  append(startPage: number, pageCount: number, pfn: number, order: number, flags: number): void {
    const last = this.#length - 1;
    if (!this.#sealed && this.#continues(last, startPage, pfn, order, flags)) {
      const merged = this.#at(this.#pageCount, last) + pageCount;
      if (merged <= MAX_RUN_PAGES) {
        this.#pageCount[last] = merged;
        return;
      }
    }
    this.#push(startPage, pageCount, pfn, order, flags);
  }

  /** Ends the current run, so that the next one cannot merge into it: called at the end of a VMA. */
  seal(): void {
    this.#sealed = true;
  }

  /** @returns the runs so far, in arrays of exact length */
  finish(): PageRuns {
    return {
      startPage: this.#startPage.slice(0, this.#length),
      pageCount: this.#pageCount.slice(0, this.#length),
      pfn: this.#pfn.slice(0, this.#length),
      order: this.#order.slice(0, this.#length),
      flags: this.#flags.slice(0, this.#length),
    };
  }

  #at(column: Float64Array | Uint32Array | Uint8Array, index: number): number {
    return column[index] ?? 0;
  }

  #continues(last: number, startPage: number, pfn: number, order: number, flags: number): boolean {
    if (this.#flags[last] !== flags || this.#order[last] !== order) return false;
    const count = this.#at(this.#pageCount, last);
    if (this.#at(this.#startPage, last) + count !== startPage) return false;
    return (flags & PageFlag.SWAPPED) !== 0 || this.#at(this.#pfn, last) + count === pfn;
  }

  #push(startPage: number, pageCount: number, pfn: number, order: number, flags: number): void {
    const index = this.#length;
    if (index === this.#startPage.length) this.#grow();
    this.#startPage[index] = startPage;
    this.#pageCount[index] = pageCount;
    this.#pfn[index] = pfn;
    this.#order[index] = order;
    this.#flags[index] = flags;
    this.#length = index + 1;
    this.#sealed = false;
  }

  #grow(): void {
    const size = this.#startPage.length * 2;
    const startPage = new Float64Array(size);
    const pageCount = new Uint32Array(size);
    const pfn = new Float64Array(size);
    const order = new Uint8Array(size);
    const flags = new Uint8Array(size);
    startPage.set(this.#startPage);
    pageCount.set(this.#pageCount);
    pfn.set(this.#pfn);
    order.set(this.#order);
    flags.set(this.#flags);
    this.#startPage = startPage;
    this.#pageCount = pageCount;
    this.#pfn = pfn;
    this.#order = order;
    this.#flags = flags;
  }
}
