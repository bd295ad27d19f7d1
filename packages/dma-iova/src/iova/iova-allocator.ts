/** IOVA allocators. */
export type IovaAllocatorName = 'linux-rbtree' | 'segment-tree';

/**
 * Allocator of IOVA page ranges (struct iova_domain), addresses from the top down, naturally aligned to the size
 * rounded up to a power of two. Page 0 is never returned. Nothing here sleeps.
 */
export interface IovaAllocator {
  readonly name: IovaAllocatorName;
  /**
   * Take a range (alloc_iova_fast).
   *
   * @param pages - length.
   * @param limitPage - last page that the range may touch.
   * @param flushCaches - when space is short, empty the caches of all CPUs and try again.
   * @param cpu - virtual CPU that asks.
   * @returns the first page, 0 when there is no space.
   */
  alloc(pages: number, limitPage: number, flushCaches: boolean, cpu: number): number;
  /**
   * Give a range back (free_iova_fast). Only the first page identifies it; the length chooses the cache bin, so a
   * wrong length means a wrong bin, and a second free is not noticed.
   */
  free(firstPage: number, pages: number, cpu: number): void;
  /** Take `[firstPage, lastPage]` out of use for good (reserve_iova). */
  reserve(firstPage: number, lastPage: number): void;
  /** Do timed work that is due (trimming of caches). */
  poll(): void;
  /** Visit the ranges that are handed out, in address order; cached and reserved ones are not. */
  forEachLive(fn: (firstPage: number, lastPage: number) => void): void;
}
