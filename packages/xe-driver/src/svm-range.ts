import { type DrmGpusvm, DrmGpusvmPages, DrmGpusvmRange } from '@gpusvm/drm-gpusvm';
import type { DrmPagemap, MapStrategy } from '@gpusvm/drm-pagemap';
import type { DmaDevice } from '@gpusvm/dma-iova';

/** A range of the mirrored address space with its pages and its state on the GPU (struct xe_svm_range). */
export class XeSvmRange extends DrmGpusvmRange {
  readonly pages: DrmGpusvmPages;
  /** Entries were written (tile_present). */
  tilePresent = false;
  /** Entries were zeroed since (tile_invalidated). */
  tileInvalidated = false;
  /** On the garbage collector's list. */
  collecting = false;

  constructor(gpusvm: DrmGpusvm, device: DmaDevice, strategy: MapStrategy) {
    super(gpusvm);
    this.pages = new DrmGpusvmPages(device, strategy);
    // Kernels up to 7.2 unmap a removed range's pages by themselves.
    this.embeddedPages = this.pages;
  }

  /** Length in pages. */
  get sizePages(): number {
    return this.endPage - this.startPage;
  }

  /** Whether the GPU has entries for the range (xe_svm_range_is_valid, without placement). */
  get mapped(): boolean {
    return this.tilePresent && !this.tileInvalidated;
  }

  /** Whether the pages are in this device memory; exact only under the notifier lock. */
  isIn(dpagemap: DrmPagemap): boolean {
    return this.pages.flags.hasDevmemPages && this.pages.dpagemap === dpagemap;
  }
}
