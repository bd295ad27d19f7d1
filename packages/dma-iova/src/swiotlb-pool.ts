import type { Pfn } from '@gpusvm/kernel';

/** Bytes of a slot (IO_TLB_SIZE). */
export const SLOT_BYTES: 2048 = 2048;
/** Slots of a segment as the kernel is built (IO_TLB_SEGSIZE); a mapping never crosses from one into the next. */
export const SEGMENT_SLOTS: 128 = 128;
/** What {@link SwiotlbPool.origBytes} holds for a slot that is free, or that pads a mapping. */
export const NO_ORIGINAL: -1 = -1;

const SLOT_MASK = SLOT_BYTES - 1;

/** Longest mapping that can be bounced with a min-align mask (swiotlb_max_mapping_size). */
export function maxBounceBytes(minAlignMask: number, segmentSlots: number = SEGMENT_SLOTS): number {
  return SLOT_BYTES * segmentSlots - Math.ceil(minAlignMask / SLOT_BYTES) * SLOT_BYTES;
}

/** What a search for slots has to keep. Masks are unsigned, of low bits. */
export interface SlotRules {
  /** Bits that are 0 in the address of the first slot. */
  readonly allocAlignMask: number;
  /** Bits of the address that must equal those of the original. */
  readonly minAlignMask: number;
  /** No mapping crosses a multiple of this, a power of two. */
  readonly boundaryBytes: number;
}

/**
 * One physically contiguous area of a bounce pool (struct io_tlb_pool of kernel/dma/swiotlb.c, 7.3): slots of 2 KiB in
 * segments. Every slot has its own record, as in the kernel, because what a release gives back follows from the record of the
 * slot that its address lies in: a wrong address gives wrong slots back.
 */
export class SwiotlbPool {
  /** First page. */
  readonly pfn: Pfn;
  readonly order: number;
  readonly slots: number;
  /** Slots of a segment, a power of two. */
  readonly segmentSlots: number;
  /** Free slots from this one on, within its segment; 0 = taken. */
  readonly free: Uint16Array;
  /** Address whose copy the slot begins with, not counting the offset of the mapping's first slot. */
  readonly origBytes: Float64Array;
  /** Bytes of the allocation from this slot's share of the original on. */
  readonly allocBytes: Float64Array;
  /** At the first slot of a mapping: slots before it that only align it. */
  readonly padSlots: Uint16Array;
  #used = 0;
  #next = 0;

  constructor(pfn: Pfn, order: number, segmentSlots: number = SEGMENT_SLOTS) {
    this.segmentSlots = segmentSlots;
    this.pfn = pfn;
    this.order = order;
    this.slots = 2 ** (order + 1);
    this.free = new Uint16Array(this.slots);
    this.origBytes = new Float64Array(this.slots).fill(NO_ORIGINAL);
    this.allocBytes = new Float64Array(this.slots);
    this.padSlots = new Uint16Array(this.slots);
    for (let i = 0; i < this.slots; i++) {
      this.free[i] = Math.min(segmentSlots - (i & (segmentSlots - 1)), this.slots - i);
    }
  }

  /** Slots that are taken. */
  get used(): number {
    return this.#used;
  }

  /** Physical address of a slot. */
  addressOf(slot: number): number {
    return this.pfn * 4096 + slot * SLOT_BYTES;
  }

  /** Slot that an address lies in. */
  slotAt(slotBytes: number): number {
    return Math.floor((slotBytes - this.pfn * 4096) / SLOT_BYTES);
  }

  /**
   * Take the slots for `allocBytes` (swiotlb_search_pool_area). The search goes on where the last one ended, slot by slot up to
   * an aligned one, from there in steps of the alignment; it ends after as many steps as there are slots.
   *
   * @returns the first slot, -1 when there are none.
   */
  take(allocBytes: number, origBytes: number, rules: SlotRules): number {
    const count = Math.ceil(allocBytes / SLOT_BYTES);
    if (count === 0 || count > this.slots - this.#used) return -1;
    const { minAlignMask } = rules;
    let alignMask = rules.allocAlignMask;
    // What drivers came to rely on: without other wishes, a page and more begins at a page.
    if (alignMask === 0 && minAlignMask === 0 && allocBytes >= 4096) alignMask = 4095;
    alignMask = (alignMask | SLOT_MASK) >>> 0;
    const keptMask = (minAlignMask & ~alignMask) >>> 0;
    const stride = Math.floor(Math.max(alignMask, keptMask) / SLOT_BYTES) + 1;
    let slot = this.#next;
    for (let checked = 0; checked < this.slots; ) {
      const address = this.addressOf(slot);
      if ((address & alignMask) !== 0 || ((address ^ origBytes) & keptMask) !== 0) {
        slot = this.#wrap(slot + 1);
        checked++;
        continue;
      }
      if (this.free[slot]! >= count && !this.#crosses(slot, count, rules.boundaryBytes)) {
        this.#claim(slot, count, allocBytes, (origBytes & minAlignMask & SLOT_MASK) >>> 0);
        return slot;
      }
      slot = this.#wrap(slot + stride);
      checked += stride;
    }
    return -1;
  }

  /**
   * Give back the mapping that an address lies in (swiotlb_release_slots): its padding, and as many slots as the record of the
   * slot says.
   *
   * @param minAlignMask - as it is now: it tells how far behind the slot's start the mapping begins.
   * @returns slots that became free.
   */
  release(slotBytes: number, minAlignMask: number): number {
    const offset = slotBytes & minAlignMask & SLOT_MASK;
    let slot = this.slotAt(slotBytes - offset);
    slot -= this.padSlots[slot]!;
    const count = Math.max(0, Math.ceil((this.allocBytes[slot]! + offset) / SLOT_BYTES));
    const end = slot + count;
    const segmentEnd = (Math.floor(slot / this.segmentSlots) + 1) * this.segmentSlots;
    let free = end < segmentEnd ? this.free[end]! : 0;
    for (let i = end - 1; i >= slot; i--) {
      this.free[i] = ++free;
      this.origBytes[i] = NO_ORIGINAL;
      this.allocBytes[i] = 0;
      this.padSlots[i] = 0;
    }
    this.#mergeBefore(slot, free);
    this.#used -= count;
    return count;
  }

  #claim(slot: number, count: number, allocBytes: number, offset: number): void {
    for (let i = 0; i < count; i++) {
      this.free[slot + i] = 0;
      this.allocBytes[slot + i] = allocBytes - offset - i * SLOT_BYTES;
    }
    this.#mergeBefore(slot, 0);
    this.#next = this.#wrap(slot + count);
    this.#used += count;
  }

  /** Count the free slots of the segment that end at `slot` anew. */
  #mergeBefore(slot: number, freeFromSlot: number): void {
    let free = freeFromSlot;
    for (let i = slot - 1; i >= 0 && this.free[i] !== 0; i--) {
      if ((i & (this.segmentSlots - 1)) === this.segmentSlots - 1) return;
      this.free[i] = ++free;
    }
  }

  /** iommu_is_span_boundary. */
  #crosses(slot: number, count: number, boundaryBytes: number): boolean {
    const first = (this.addressOf(slot) % boundaryBytes) / SLOT_BYTES;
    return Math.floor(first) + count > Math.max(1, boundaryBytes / SLOT_BYTES);
  }

  #wrap(slot: number): number {
    return slot >= this.slots ? 0 : slot;
  }
}
