import type { PhysicalMemory } from '@gpusvm/dma-iova';
import { PMD_ORDER, type Pfn } from '@gpusvm/kernel';

/**
 * The page of zeros and its PMD-sized sibling. They have no reference counts; they are taken from memory when the
 * first entry needs them and given back with the last address space, so that an empty machine owns nothing.
 */
export class ZeroPages {
  readonly #memory: PhysicalMemory;
  #zero = -1;
  #huge = -1;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** The zero page (ZERO_PAGE), -1 without memory. */
  zero(): Pfn {
    if (this.#zero < 0) this.#zero = this.#memory.allocPages(0);
    return this.#zero;
  }

  /** The huge zero folio (mm_get_huge_zero_folio), -1 without memory. */
  huge(): Pfn {
    if (this.#huge < 0) this.#huge = this.#memory.allocPages(PMD_ORDER);
    return this.#huge;
  }

  /** Whether it is the single zero page (is_zero_pfn), not a part of the huge one. */
  isZero(pfn: Pfn): boolean {
    return pfn >= 0 && pfn === this.#zero;
  }

  /** Whether the page belongs to one of the two (is_zero_pfn, is_huge_zero_pfn). */
  has(pfn: Pfn): boolean {
    return pfn === this.#zero || (this.#huge >= 0 && pfn >= this.#huge && pfn < this.#huge + 2 ** PMD_ORDER);
  }

  /** Give both back. */
  release(): void {
    if (this.#zero >= 0) this.#memory.freePagesBlock(this.#zero, 0);
    if (this.#huge >= 0) this.#memory.freePagesBlock(this.#huge, PMD_ORDER);
    this.#zero = -1;
    this.#huge = -1;
  }
}
