import { type DmaFence, Kref, Mutex, type Task } from '@gpusvm/kernel';
import type { DrmBuddyBlock } from '@gpusvm/drm-pagemap';
import type { XeDevice } from './xe-device.ts';

/**
 * A buffer of device memory that backs one range of mirrored address space (struct xe_bo with
 * XE_BO_FLAG_CPU_ADDR_MIRROR): one contiguous block. Made by `XeBoManager.create`.
 */
export class XeBo {
  readonly pages: number;
  /** Reservation (dma-resv): held while data moves in or out. */
  readonly resv: Mutex;
  readonly ref: Kref;
  /** Signalled when the fresh memory was cleared. */
  readonly clearFence: DmaFence;
  /** Memory, or null after an eviction. */
  block: DrmBuddyBlock | null;
  /** Moves everything back to system memory; set once pages may live here. */
  evictToRam: (() => Task<number>) | null = null;

  constructor(xe: XeDevice, block: DrmBuddyBlock, clearFence: DmaFence, release: (bo: XeBo) => void) {
    this.pages = block.pages;
    this.block = block;
    this.clearFence = clearFence;
    this.resv = new Mutex(xe.machine, 'xe bo resv');
    this.ref = new Kref('xe bo', 'creator', () => release(this));
  }
}
