import type { Pfn } from '@gpusvm/kernel';

/** Bytes of a slot (IO_TLB_SIZE). */
export const SLOT_BYTES: 2048 = 2048;
/** Slots of a segment (IO_TLB_SEGSIZE); a mapping never crosses from one segment into the next. */
export const SEGMENT_SLOTS: 128 = 128;

/** Longest mapping that can be bounced with a min-align mask (swiotlb_max_mapping_size). */
export function maxBounceBytes(minAlignMask: number): number {
  return SLOT_BYTES * SEGMENT_SLOTS - Math.ceil(minAlignMask / SLOT_BYTES) * SLOT_BYTES;
}

/**
 * One physically contiguous area of a bounce pool (struct io_tlb_pool): slots of 2 KiB in segments of 128. For every
 * slot it knows how many free ones follow in the segment, so a search looks at one number a candidate, and it goes on
 * where the last one ended, as the kernel's does.
 */
export class SwiotlbPool {
  /** First page. */
  readonly pfn: Pfn;
  readonly order: number;
  readonly slots: number;
  /** Free slots from this one on, within its segment; 0 = taken. */
  readonly #list: Uint8Array;
  #next = 0;
  /** Slot to the first slot of its mapping plus one; 0 = free. */
  readonly owner: Int32Array;
  /** At the first slot of a mapping: slots, bounced address, original address and length in bytes. */
  readonly count: Uint8Array;
  readonly atBytes: Float64Array;
  readonly origBytes: Float64Array;
  readonly sizeBytes: Int32Array;

  constructor(pfn: Pfn, order: number) {
    this.pfn = pfn;
    this.order = order;
    this.slots = 2 ** (order + 1);
    this.#list = new Uint8Array(this.slots);
    this.owner = new Int32Array(this.slots);
    this.count = new Uint8Array(this.slots);
    this.atBytes = new Float64Array(this.slots);
    this.origBytes = new Float64Array(this.slots);
    this.sizeBytes = new Int32Array(this.slots);
    for (let i = 0; i < this.slots; i++) this.#list[i] = segmentEnd(i, this.slots) - i;
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
    const list = this.#list;
    for (let checked = 0; checked < this.slots; checked++) {
      const slot = (this.#next + checked) % this.slots;
      if (list[slot]! < count) continue;
      const address = this.addressOf(slot);
      if ((address & allocAlignMask) !== 0 || ((address ^ origBytes) & keptMask) !== 0) continue;
      list.fill(0, slot, slot + count);
      this.owner.fill(slot + 1, slot, slot + count);
      this.count[slot] = count;
      this.#recount(slot - 1, 0);
      this.#next = (slot + count) % this.slots;
      return slot;
    }
    return -1;
  }

  /** Give the slots of the mapping that begins at `slot` back. */
  free(slot: number): void {
    const count = this.count[slot]!;
    this.owner.fill(0, slot, slot + count);
    const end = slot + count;
    const following = end < segmentEnd(slot, this.slots) ? this.#list[end]! : 0;
    this.#recount(end - 1, following, slot);
  }

  /**
   * Count downwards from a slot to the start of its segment or to a taken slot.
   *
   * @param from - slots from here up to this one count as free even if taken.
   */
  #recount(last: number, following: number, from: number = last + 1): void {
    const list = this.#list;
    let run = following;
    const start = last - (last % SEGMENT_SLOTS);
    for (let i = last; i >= start && i >= 0; i--) {
      if (i < from && list[i] === 0) return;
      list[i] = ++run;
    }
  }
}

function segmentEnd(slot: number, slots: number): number {
  return Math.min(slots, slot - (slot % SEGMENT_SLOTS) + SEGMENT_SLOTS);
}
