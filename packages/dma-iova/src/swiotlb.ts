import { type FaultSite, type Machine, type Tracepoint } from '@gpusvm/kernel';
import { DMA_ATTR_SKIP_CPU_SYNC, DMA_TO_DEVICE, type DmaDataDirection } from './attributes.ts';
import { C_SWIOTLB, dmaCounters } from './dma-counters.ts';
import { NO_PFN, type PhysicalMemory } from './physical-memory.ts';
import { SLOT_BYTES, SwiotlbPool } from './swiotlb-pool.ts';
import { SWIOTLB_BOUNCED, SWIOTLB_UNBOUNCED, type SwiotlbArgs, type SwiotlbEvent } from './tracepoints.ts';

/** An area of the pool is physically contiguous: 2 MiB, eight segments. */
const AREA_ORDER = 9;

/**
 * Bounce buffers of one device (struct io_tlb_mem, with CONFIG_SWIOTLB_DYNAMIC in spirit): 2 KiB slots, at most a
 * segment (256 KiB) a mapping, in areas of 2 MiB up to a limit. Fault site `swiotlb.map`.
 *
 * In a memory of tags, whose smallest unit is a page, a mapping gets whole pages with the offset of the original.
 */
export class Swiotlb {
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
    this.#memory = memory;
    this.#device = device;
    this.#order = maxPages === 0 ? 0 : Math.min(AREA_ORDER, Math.floor(Math.log2(maxPages)));
    this.#maxPools = Math.floor(maxPages / 2 ** this.#order);
    this.#unitMask = memory.unitBytes - 1;
    this.#site = machine.faultInjection.site('swiotlb.map');
    this.#counters = dmaCounters(machine).values;
    this.#bounced = machine.trace.point(SWIOTLB_BOUNCED);
    this.#unbounced = machine.trace.point(SWIOTLB_UNBOUNCED);
  }

  /** Mappings that hold slots. */
  get live(): number {
    return this.#live;
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
   * @param minAlignMask - low bits of the address that the bounced one keeps.
   * @returns physical byte address of the bounced range; -1 when the pool is exhausted or inactive, or the range is
   *   longer than a segment.
   */
  map(
    physBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
    allocAlignMask: number,
    minAlignMask: number,
  ): number {
    let alignMask = allocAlignMask | this.#unitMask;
    const minMask = minAlignMask | this.#unitMask;
    const offset = physBytes & minMask & (alignMask | (SLOT_BYTES - 1));
    const keptMask = minMask & ~(alignMask | (SLOT_BYTES - 1));
    const total = Math.ceil((sizeBytes + offset) / (alignMask + 1)) * (alignMask + 1);
    // What drivers came to rely on: without other wishes, a page and more begins at a page.
    if (alignMask === 0 && keptMask === 0 && total >= 4096) alignMask = 4095;
    const slots = Math.ceil(total / SLOT_BYTES);
    if (slots > this.segmentSlots || slots === 0 || this.#site.shouldFail()) return -1;
    const found = this.#take(slots, physBytes, alignMask, keptMask);
    if (found === null) return -1;
    const slot = this.#found;
    const at = found.addressOf(slot) + offset;
    found.atBytes[slot] = at;
    found.origBytes[slot] = physBytes;
    found.sizeBytes[slot] = sizeBytes;
    this.#live++;
    this.#counters[C_SWIOTLB]!++;
    this.#memory.copy(at, physBytes, sizeBytes);
    if (this.#bounced.enabled) this.#bounced.emit(this.#device, physBytes, at, sizeBytes, dir, attrs);
    return at;
  }

  /**
   * Give slots back and copy to the original for FROM_DEVICE and BIDIRECTIONAL (swiotlb_tbl_unmap_single).
   *
   * @param slotBytes - what {@link map} returned.
   * @returns false when the address is not a bounced one: then there is nothing to do.
   */
  unmap(slotBytes: number, dir: DmaDataDirection, attrs: number): boolean {
    const pool = this.#poolAt(slotBytes);
    const slot = pool === undefined ? -1 : mappingAt(pool, slotBytes);
    if (pool === undefined || slot < 0) return false;
    const phys = pool.origBytes[slot]!;
    const at = pool.atBytes[slot]!;
    const size = pool.sizeBytes[slot]!;
    if (dir !== DMA_TO_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) this.#memory.copy(phys, at, size);
    pool.free(slot);
    this.#live--;
    if (this.#unbounced.enabled) this.#unbounced.emit(this.#device, phys, at, size, dir, attrs);
    return true;
  }

  /**
   * Copy a part of a mapping between its slots and its original (dma_sync_single_for_cpu and for_device).
   *
   * @param slotBytes - anywhere in what {@link map} returned; what lies beyond its end is not copied.
   */
  sync(slotBytes: number, sizeBytes: number, forCpu: boolean): boolean {
    const pool = this.#poolAt(slotBytes);
    const slot = pool === undefined ? -1 : mappingAt(pool, slotBytes);
    if (pool === undefined || slot < 0) return false;
    const done = slotBytes - pool.atBytes[slot]!;
    const length = Math.min(sizeBytes, pool.sizeBytes[slot]! - done);
    if (done < 0 || length <= 0) return false;
    const original = pool.origBytes[slot]! + done;
    this.#memory.copy(forCpu ? original : slotBytes, forCpu ? slotBytes : original, length);
    return true;
  }

  /** Give the pool's pages back to the memory. Slots still in use are lost with it. */
  destroy(): void {
    for (const pool of this.#pools) this.#memory.freePagesBlock(pool.pfn, pool.order);
    this.#pools.length = 0;
    this.#poolOf.clear();
  }

  /** First slot that {@link #take} has found. */
  #found = -1;

  #take(count: number, origBytes: number, alignMask: number, keptMask: number): SwiotlbPool | null {
    for (const pool of this.#pools) {
      this.#found = pool.take(count, origBytes, alignMask, keptMask);
      if (this.#found >= 0) return pool;
    }
    if (this.#pools.length === this.#maxPools) return null;
    const pfn = this.#memory.allocPages(this.#order);
    if (pfn === NO_PFN) return null;
    const pool = new SwiotlbPool(pfn, this.#order, this.segmentSlots);
    this.#pools.push(pool);
    this.#poolOf.set(pfn >>> this.#order, pool);
    this.#found = pool.take(count, origBytes, alignMask, keptMask);
    return this.#found < 0 ? null : pool;
  }

  #poolAt(slotBytes: number): SwiotlbPool | undefined {
    return this.#poolOf.get(Math.floor(slotBytes / 4096) >>> this.#order);
  }
}

/** First slot of the mapping at an address; -1 when there is none. */
function mappingAt(pool: SwiotlbPool, slotBytes: number): number {
  return pool.owner[Math.floor((slotBytes - pool.pfn * 4096) / SLOT_BYTES)]! - 1;
}
