import type { DmaDevice } from '@gpusvm/dma-iova';
import { type DrmPagemap, MapState, type MapStrategy, PagemapAddrs } from '@gpusvm/drm-pagemap';
import type { MmuIntervalNotifier } from '@gpusvm/hmm';
import type { DrmGpusvm } from './gpusvm.ts';

/** State of a pages object; changed as a whole under the notifier lock. */
export interface DrmGpusvmPagesFlags {
  /** Sticky: the CPU mapping is gone, no pages any more. */
  unmapped: boolean;
  /** Some entries are device memory; `dpagemap` is set. */
  hasDevmemPages: boolean;
  /** `addrs` are valid. */
  hasDmaMapping: boolean;
}

/** @internal No addresses. Frozen, so sharing it is safe. */
export const NO_ADDRS: PagemapAddrs = Object.freeze(new PagemapAddrs(0));

/** The lookup that pages came from, for those who check what a device does with them. */
export interface PagesLookup {
  readonly notifier: MmuIntervalNotifier;
  readonly seq: number;
  readonly startPage: number;
  /** Page frames and HMM_PFN_* flags, one a page. */
  readonly pfn: Float64Array;
  readonly flags: Uint16Array;
  /** The DMA mappings that were told of are still there. */
  mapped: boolean;
}

/**
 * The pages of a range as one device sees them (struct drm_gpusvm_pages). Owned by the driver, usually as a part of
 * its range; must be made before its notifier can fire (drm_gpusvm_init_pages).
 */
export class DrmGpusvmPages {
  /** The device that maps; without one `drmGpusvmGetPages` is -EINVAL and unmapping does nothing. */
  readonly dev: DmaDevice | null;
  /** How system pages get their addresses. */
  readonly strategy: MapStrategy;
  /**
   * Device addresses in dense layout: entry j stands for 2^order pages, `addrs.count` entries follow each other without
   * a gap. Valid under the notifier lock while `drmGpusvmPagesValid`; empty otherwise.
   */
  addrs: PagemapAddrs = NO_ADDRS;
  /** Provider of the device pages, at most one; holds the reference `gpusvm pages`. */
  dpagemap: DrmPagemap | null = null;
  readonly flags: DrmGpusvmPagesFlags = { unmapped: false, hasDevmemPages: false, hasDmaMapping: false };
  /** Sequence number that the pages belong to (LONG_MAX at first). For drivers that check validity by sequence. */
  notifierSeq: number = Number.MAX_SAFE_INTEGER;
  /** Pages that are mapped, 0 = none. */
  npages = 0;
  /** Entries of `addrs` that are system memory. */
  systemEntries = 0;
  /** What HMM found last, while somebody listens to what devices do (hmm's device-tracepoints.ts); null otherwise. */
  lookup: PagesLookup | null = null;
  /** @internal what the strategy has to remember. */
  readonly state: MapState = new MapState();

  constructor(dev: DmaDevice | null, strategy: MapStrategy) {
    this.dev = dev;
    this.strategy = strategy;
  }
}

/**
 * Whether the pages are mapped and may be used (drm_gpusvm_pages_valid). Notifier lock held, in any mode; the answer
 * holds until it is dropped. It replaces the sequence number, because notifiers are wide and one invalidation in the
 * window would make all its ranges look stale. Does not sleep.
 */
export function drmGpusvmPagesValid(gpusvm: DrmGpusvm, pages: DrmGpusvmPages): boolean {
  gpusvm.notifierLock.assertHeld();
  return pages.flags.hasDevmemPages || pages.flags.hasDmaMapping;
}
