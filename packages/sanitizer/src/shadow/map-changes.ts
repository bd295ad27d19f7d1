/** What a page table mapped since the last call of the DMA API that explains it. */
export class MapChanges {
  /** Changes; 0 = none. */
  count = 0;
  firstPage = 0;
  endPage = 0;
  pages = 0;
  /** First frame, for a single change. */
  pfn = 0;
  /** Intersection and union of the permissions. */
  protAll = 0;
  protAny = 0;

  add(firstPage: number, pfn: number, pages: number, prot: number): void {
    const end = firstPage + pages;
    if (this.count === 0) {
      this.firstPage = firstPage;
      this.endPage = end;
      this.pages = pages;
      this.pfn = pfn;
      this.protAll = prot;
      this.protAny = prot;
    } else {
      if (firstPage < this.firstPage) this.firstPage = firstPage;
      if (end > this.endPage) this.endPage = end;
      this.pages += pages;
      this.protAll &= prot;
      this.protAny |= prot;
    }
    this.count++;
  }

  reset(): void {
    this.count = 0;
  }
}
