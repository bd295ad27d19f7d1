import { PageCounts } from './page-counts.ts';

/** The page was allocated, or freed, while the sanitizer watched; 0 = it was not seen. */
export const FRAME_USED: 1 = 1;
export const FRAME_FREE: 2 = 2;

/** Shadow of physical memory by page frame, over all devices of a machine. */
export class Frames {
  /** Leaves of IO page tables that map the frame (the iommu refcount of CONFIG_IOMMU_DEBUG_PAGEALLOC). */
  readonly leaves: PageCounts = new PageCounts();
  /** Mappings that no leaf shows: by devices that are not translated, or bounced. */
  readonly others: PageCounts = new PageCounts();
  /** Mappings that write and that need cache maintenance or a copy back. */
  readonly writers: PageCounts = new PageCounts();
  /** FRAME_USED, FRAME_FREE or 0. */
  readonly state: PageCounts = new PageCounts();
  /** Record of the declared buffer that a frame belongs to; 0 = none declared. */
  readonly buffer: PageCounts = new PageCounts();
  /** Whether any buffer was declared. */
  declared = false;
}
