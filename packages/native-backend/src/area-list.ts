import type { Pfn } from '@gpusvm/kernel';

/**
 * What is mapped, by address: one area a map call, in sorted parallel arrays. The IOAS cannot be asked what it
 * translates, so whoever maps keeps count.
 */
export class AreaList {
  readonly iovaPage: number[] = [];
  readonly pages: number[] = [];
  readonly pfn: Pfn[] = [];
  readonly prot: number[] = [];
  mappedPages = 0;

  get count(): number {
    return this.iovaPage.length;
  }

  /** Index of the first area that ends behind a page. */
  indexAfter(page: number): number {
    let low = 0;
    let high = this.iovaPage.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.iovaPage[middle]! + this.pages[middle]! <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the area that holds a page; -1 when none does. */
  indexOf(page: number): number {
    const i = this.indexAfter(page);
    return i < this.count && this.iovaPage[i]! <= page ? i : -1;
  }

  /** Page behind the last one of an area. */
  endOf(index: number): number {
    return this.iovaPage[index]! + this.pages[index]!;
  }

  add(page: number, pfn: Pfn, pages: number, prot: number): void {
    const i = this.indexAfter(page);
    this.iovaPage.splice(i, 0, page);
    this.pages.splice(i, 0, pages);
    this.pfn.splice(i, 0, pfn);
    this.prot.splice(i, 0, prot);
    this.mappedPages += pages;
  }

  /** Forget areas `[first, end)`. @returns their pages. */
  remove(first: number, end: number): number {
    let pages = 0;
    for (let i = first; i < end; i++) pages += this.pages[i]!;
    for (const array of [this.iovaPage, this.pages, this.pfn, this.prot]) array.splice(first, end - first);
    this.mappedPages -= pages;
    return pages;
  }
}
