/**
 * What an unmap collects for one later invalidation (struct iommu_iotlb_gather): the range that was cleared and
 * the table pages that were unlinked. A device keeps one and reuses it; it is empty between calls.
 */
export class IotlbGather {
  /** First page, when {@link endPage} is not 0. */
  startPage = 0;
  /** Page after the last; 0 = empty. */
  endPage = 0;
  /** The unmap goes to a flush queue: nothing is added to the range. */
  queued = false;
  /** Chain of unlinked tables in the domain's pool; 0 = none. */
  freeHead = 0;
  freeTail = 0;

  /** Forget everything. */
  reset(queued: boolean): void {
    this.startPage = 0;
    this.endPage = 0;
    this.queued = queued;
    this.freeHead = 0;
    this.freeTail = 0;
  }

  /** Add `[start, end)`; ranges are merged, gaps between them included (PT_FEAT_FLUSH_RANGE). */
  add(start: number, end: number): void {
    if (this.queued) return;
    if (this.endPage === 0) {
      this.startPage = start;
      this.endPage = end;
      return;
    }
    if (start < this.startPage) this.startPage = start;
    if (end > this.endPage) this.endPage = end;
  }
}
