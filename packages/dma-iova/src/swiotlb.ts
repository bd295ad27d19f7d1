import type { FaultSite, Machine, Tracepoint } from '@gpusvm/kernel';
import {
  DMA_ATTR_NO_WARN,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_TO_DEVICE,
  type DmaDataDirection,
} from './attributes.ts';
import { C_SWIOTLB, dmaCounters } from './dma-counters.ts';
import { NO_PFN, type PhysicalMemory } from './physical-memory.ts';
import { NO_ORIGINAL, SLOT_BYTES, type SlotRules, SwiotlbPool } from './swiotlb-pool.ts';
import {
  SWIOTLB_BOUNCED,
  SWIOTLB_FULL,
  SWIOTLB_UNBOUNCED,
  type SwiotlbArgs,
  type SwiotlbEvent,
  type SwiotlbFullArgs,
  type SwiotlbFullEvent,
} from './tracepoints.ts';

/** An area of the pool is physically contiguous: 2 MiB, eight segments. */
const AREA_ORDER = 9;

/**
 * Bounce buffers of one device (struct io_tlb_mem, with CONFIG_SWIOTLB_DYNAMIC in spirit): 2 KiB slots, at most a
 * segment (256 KiB) a mapping, in areas of 2 MiB up to a limit. Fault site `swiotlb.map`.
 *
 * In a memory of tags, whose smallest unit is a page, a mapping gets whole pages with the offset of the original.
 */
export class Swiotlb {
  /** Offset bits of an address that a bounced one keeps (dma_set_min_align_mask). */
  minAlignMask = 0;
  /** No mapping crosses a multiple of this, a power of two (dma_set_seg_boundary plus one). */
  boundaryBytes: number = 2 ** 32;
  readonly #machine: Machine;
  readonly #memory: PhysicalMemory;
  readonly #device: string;
  readonly #pools: SwiotlbPool[] = [];
  readonly #maxPools: number;
  readonly #order: number;
  /** Pool by first pfn >> order; areas are naturally aligned. */
  readonly #poolOf = new Map<number, SwiotlbPool>();
  /** Alignment that the memory's unit asks for. */
  readonly #unitMask: number;
  /** Slots of the longest mapping. */
  readonly segmentSlots: number;
  #live = 0;
  readonly #site: FaultSite;
  readonly #counters: Float64Array;
  readonly #bounced: Tracepoint<SwiotlbEvent, SwiotlbArgs>;
  readonly #unbounced: Tracepoint<SwiotlbEvent, SwiotlbArgs>;
  readonly #full: Tracepoint<SwiotlbFullEvent, SwiotlbFullArgs>;

  /**
   * @param maxPages - most pages; 0 = inactive: nothing can be bounced.
   * @param segmentBytes - longest mapping, a power of two.
   */
  constructor(
    machine: Machine,
    memory: PhysicalMemory,
    device: string,
    maxPages: number,
    segmentBytes: number,
  ) {
    this.segmentSlots = segmentBytes / SLOT_BYTES;
    this.#machine = machine;
    this.#memory = memory;
    this.#device = device;
    this.#order = maxPages === 0 ? 0 : Math.min(AREA_ORDER, Math.floor(Math.log2(maxPages)));
    this.#maxPools = Math.floor(maxPages / 2 ** this.#order);
    this.#unitMask = memory.unitBytes - 1;
    this.#site = machine.faultInjection.site('swiotlb.map');
    this.#counters = dmaCounters(machine).values;
    this.#bounced = machine.trace.point(SWIOTLB_BOUNCED);
    this.#unbounced = machine.trace.point(SWIOTLB_UNBOUNCED);
    this.#full = machine.trace.point(SWIOTLB_FULL);
  }

  /** Mappings that hold slots. */
  get live(): number {
    return this.#live;
  }

  /** Slots in all, those of areas that have not been needed yet included. */
  get totalSlots(): number {
    return this.#maxPools * 2 ** (this.#order + 1);
  }

  /** Slots that are taken. */
  get usedSlots(): number {
    return this.#pools.reduce((used, pool) => used + pool.used, 0);
  }

  /** Whether anything can be bounced (is_swiotlb_active). */
  get active(): boolean {
    return this.#maxPools > 0;
  }

  /**
   * Give a range slots and copy it there, in every direction, so that what the device does not write comes back as it
   * was (swiotlb_tbl_map_single).
   *
   * @param allocAlignMask - low bits that are 0 in the address of the first slot; the end is rounded up likewise, so
   *   that nobody else gets the rest.
   * @returns physical byte address of the bounced range; -1 when the pool is exhausted or inactive, or the range is
   *   longer than a segment, or empty (the kernel stops at that: BUG_ON).
   */
  map(
    physBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
    allocAlignMask: number,
  ): number {
    const alignMask = allocAlignMask | this.#unitMask;
    const minAlignMask = this.#minMask;
    const offset = (physBytes & minAlignMask & (alignMask | (SLOT_BYTES - 1))) >>> 0;
    const total = Math.ceil((sizeBytes + offset) / (alignMask + 1)) * (alignMask + 1);
    const tooLong = total > this.segmentSlots * SLOT_BYTES;
    const rules = { allocAlignMask: alignMask, minAlignMask, boundaryBytes: this.boundaryBytes };
    const pool = tooLong || this.#site.shouldFail() ? null : this.#take(total, physBytes, rules);
    if (pool === null) {
      if (this.#full.enabled && (attrs & DMA_ATTR_NO_WARN) === 0) this.#full.emit(this.#device, total, this);
      return -1;
    }
    const padSlots = Math.floor(offset / SLOT_BYTES);
    const slot = this.#found + padSlots;
    pool.padSlots[slot] = padSlots;
    const end = this.#found + Math.ceil(total / SLOT_BYTES);
    for (let i = slot; i < end; i++) pool.origBytes[i] = physBytes + (i - slot) * SLOT_BYTES;
    const at = pool.addressOf(slot) + (offset % SLOT_BYTES);
    this.#live++;
    this.#counters[C_SWIOTLB]!++;
    this.#copy(pool, at, sizeBytes, false);
    if (this.#bounced.enabled) this.#bounced.emit(this.#device, physBytes, at, sizeBytes, dir, attrs);
    return at;
  }

  /**
   * Give slots back and copy to the original for FROM_DEVICE and BIDIRECTIONAL (swiotlb_tbl_unmap_single).
   *
   * @param slotBytes - what {@link map} returned. Another address in the pool gives back what the record of its slot says.
   * @param sizeBytes - copied, as far as the allocation goes: more is warned about once.
   * @returns false when the address is not a bounced one: then there is nothing to do.
   */
  unmap(slotBytes: number, sizeBytes: number, dir: DmaDataDirection, attrs: number): boolean {
    const pool = this.#poolAt(slotBytes);
    if (pool === undefined) return false;
    const phys = this.#originalOf(pool, slotBytes);
    if (dir !== DMA_TO_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) {
      this.#copy(pool, slotBytes, sizeBytes, true);
    }
    if (pool.release(slotBytes, this.#minMask) === 0) return false;
    this.#live--;
    if (this.#unbounced.enabled) this.#unbounced.emit(this.#device, phys, slotBytes, sizeBytes, dir, attrs);
    return true;
  }

  /**
   * Copy a part of a mapping between its slots and its original (dma_sync_single_for_cpu and for_device).
   *
   * @param slotBytes - anywhere in what {@link map} returned; what lies beyond the end of the allocation is warned about
   *   once and not copied.
   * @returns whether the address is a bounced one.
   */
  sync(slotBytes: number, sizeBytes: number, forCpu: boolean): boolean {
    const pool = this.#poolAt(slotBytes);
    return pool !== undefined && this.#copy(pool, slotBytes, sizeBytes, forCpu);
  }

  /** Where an address lies in the pool, its areas one behind the other (swiotlb_find_pool); -1 = elsewhere. */
  offsetOf(slotBytes: number): number {
    const pool = this.#poolAt(slotBytes);
    if (pool === undefined) return -1;
    return this.#pools.indexOf(pool) * pool.slots * SLOT_BYTES + slotBytes - pool.pfn * 4096;
  }

  /** Give the pool's pages back to the memory. Slots still in use are lost with it. */
  destroy(): void {
    for (const pool of this.#pools) this.#memory.freePagesBlock(pool.pfn, pool.order);
    this.#pools.length = 0;
    this.#poolOf.clear();
  }

  /** First slot that {@link #take} has found. */
  #found = -1;

  /** An area with the slots, which then begin at {@link #found}. */
  #take(allocBytes: number, origBytes: number, rules: SlotRules): SwiotlbPool | null {
    for (const pool of this.#pools) {
      this.#found = pool.take(allocBytes, origBytes, rules);
      if (this.#found >= 0) return pool;
    }
    if (this.#pools.length === this.#maxPools) return null;
    const pfn = this.#memory.allocPages(this.#order);
    if (pfn === NO_PFN) return null;
    const pool = new SwiotlbPool(pfn, this.#order, this.segmentSlots);
    this.#pools.push(pool);
    this.#poolOf.set(pfn >>> this.#order, pool);
    this.#found = pool.take(allocBytes, origBytes, rules);
    return this.#found < 0 ? null : pool;
  }

  /** swiotlb_bounce: to the original or from it; false when the slot holds nothing. */
  #copy(pool: SwiotlbPool, slotBytes: number, sizeBytes: number, toOriginal: boolean): boolean {
    const slot = pool.slotAt(slotBytes);
    if (pool.origBytes[slot] === NO_ORIGINAL) return false;
    const original = this.#originalOf(pool, slotBytes);
    const room = pool.allocBytes[slot]! - (original - pool.origBytes[slot]!);
    if (sizeBytes > room && room >= 0) {
      this.#machine.warnOnce(
        'swiotlb_bounce: overflow',
        `${this.#device}: Buffer overflow detected. Allocation size: ${room}. Mapping size: ${sizeBytes}.`,
      );
    }
    const length = room >= 0 ? Math.min(sizeBytes, room) : sizeBytes;
    if (length > 0)
      this.#memory.copy(toOriginal ? original : slotBytes, toOriginal ? slotBytes : original, length);
    return true;
  }

  /** Original of an address, which may lie before that of its slot: a mapping's offset shifts all but its first one. */
  #originalOf(pool: SwiotlbPool, slotBytes: number): number {
    const orig = pool.origBytes[pool.slotAt(slotBytes)]!;
    return orig + (slotBytes & (SLOT_BYTES - 1)) - (orig & this.#minMask & (SLOT_BYTES - 1));
  }

  /** Offset bits that are kept: what the device asks for, and those that the memory does not tell apart. */
  get #minMask(): number {
    return (this.minAlignMask | this.#unitMask) >>> 0;
  }

  #poolAt(slotBytes: number): SwiotlbPool | undefined {
    return this.#poolOf.get(Math.floor(slotBytes / 4096) >>> this.#order);
  }
}
