import type { Pfn } from '@gpusvm/kernel';

/** Bytes of a slot (IO_TLB_SIZE). */
export const SLOT_BYTES: 2048 = 2048;
/** Slots of a segment as the kernel is built (IO_TLB_SEGSIZE); a mapping never crosses from one into the next. */
export const SEGMENT_SLOTS: 128 = 128;

/** Longest mapping that can be bounced with a min-align mask (swiotlb_max_mapping_size). */
export function maxBounceBytes(minAlignMask: number, segmentSlots: number = SEGMENT_SLOTS): number {
  return SLOT_BYTES * segmentSlots - Math.ceil(minAlignMask / SLOT_BYTES) * SLOT_BYTES;
}

/**
 * One physically contiguous area of a bounce pool (struct io_tlb_pool): slots of 2 KiB in segments. A search goes
 * on where the last one ended, as the kernel's does, and jumps over what is in use.
 */
export class SwiotlbPool {
  /** First page. */
  readonly pfn: Pfn;
  readonly order: number;
  readonly slots: number;
  /** Slots of a segment, a power of two. */
  readonly segmentSlots: number;
  /** Slot to the first slot of its mapping plus one; 0 = free. */
  readonly owner: Int32Array;
  /** At the first slot of a mapping: slots, bounced address, original address and length in bytes. */
  readonly count: Int32Array;
  readonly atBytes: Float64Array;
  readonly origBytes: Float64Array;
  readonly sizeBytes: Int32Array;
  #next = 0;

  constructor(pfn: Pfn, order: number, segmentSlots: number = SEGMENT_SLOTS) {
    this.segmentSlots = segmentSlots;
    this.pfn = pfn;
    this.order = order;
    this.slots = 2 ** (order + 1);
    this.owner = new Int32Array(this.slots);
    this.count = new Int32Array(this.slots);
    this.atBytes = new Float64Array(this.slots);
    this.origBytes = new Float64Array(this.slots);
    this.sizeBytes = new Int32Array(this.slots);
  }

  /** Physical address of a slot. */
  addressOf(slot: number): number {
    return this.pfn * 4096 + slot * SLOT_BYTES;
  }

  /**
   * Take `count` slots of one segment (swiotlb_search_pool_area).
   *
   * @param allocAlignMask - low bits that are 0 in the address of the first slot.
   * @param keptMask - bits of the address that must equal those of `origBytes`; at least a slot, above `allocAlignMask`.
   * @returns the first slot, -1 when there are none.
   */
  take(count: number, origBytes: number, allocAlignMask: number, keptMask: number): number {
    let slot = this.#search(this.#next, this.slots, count, origBytes, allocAlignMask, keptMask);
    if (slot < 0) slot = this.#search(0, this.#next, count, origBytes, allocAlignMask, keptMask);
    if (slot < 0) return -1;
    for (let i = slot; i < slot + count; i++) this.owner[i] = slot + 1;
    this.count[slot] = count;
    this.#next = slot + count === this.slots ? 0 : slot + count;
    return slot;
  }

  /** Give the slots of the mapping that begins at `slot` back. */
  free(slot: number): void {
    const end = slot + this.count[slot]!;
    for (let i = slot; i < end; i++) this.owner[i] = 0;
  }

  /** The first slot of `[from, to)` at which a mapping fits; -1 when there is none. */
  #search(
    from: number,
    to: number,
    count: number,
    origBytes: number,
    allocAlignMask: number,
    keptMask: number,
  ): number {
    const segment = this.segmentSlots;
    for (let slot = from; slot < to; ) {
      const address = this.addressOf(slot);
      const inSegment = slot & (segment - 1);
      if ((address & allocAlignMask) !== 0 || ((address ^ origBytes) & keptMask) !== 0) {
        slot++;
      } else if (inSegment + count > segment) {
        slot += segment - inSegment;
      } else if (slot + count > this.slots) {
        return -1;
      } else {
        let busy = slot + count - 1;
        while (busy >= slot && this.owner[busy] === 0) busy--;
        if (busy < slot) return slot;
        slot = busy + 1;
      }
    }
    return -1;
  }
}
