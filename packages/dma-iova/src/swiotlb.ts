import { type FaultSite, type Machine, type Pfn, type Tracepoint } from '@gpusvm/kernel';
import {
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  type DmaDataDirection,
} from './attributes.ts';
import { Buddy } from './buddy.ts';
import { C_SWIOTLB, dmaCounters } from './dma-counters.ts';
import { NO_PFN, type PhysicalMemory } from './physical-memory.ts';
import { SWIOTLB_BOUNCED, SWIOTLB_UNBOUNCED, type SwiotlbArgs, type SwiotlbEvent } from './tracepoints.ts';

/** An area of the pool: physically contiguous, 2 MiB. Larger mappings cannot be bounced. */
const AREA_ORDER = 9;
const AREA_PAGES = 1 << AREA_ORDER;

/**
 * Bounce buffers of one device (struct io_tlb_mem, with CONFIG_SWIOTLB_DYNAMIC in spirit): slots are whole pages,
 * the pool grows by 2 MiB areas up to its limit. Fault site `swiotlb.map`.
 */
export class Swiotlb {
  readonly #memory: PhysicalMemory;
  readonly #device: string;
  readonly #areas: Pfn[] = [];
  /** Area number by first pfn >> 9; areas are naturally aligned. */
  readonly #areaOf = new Map<number, number>();
  readonly #slots: Buddy;
  readonly #maxAreas: number;
  readonly #areaOrder: number;
  /** Per first slot: original physical address (0 = free) and length in bytes. */
  readonly #origin: Float64Array;
  readonly #length: Float64Array;
  #live = 0;
  readonly #site: FaultSite;
  readonly #counters: Float64Array;
  readonly #bounced: Tracepoint<SwiotlbEvent, SwiotlbArgs>;
  readonly #unbounced: Tracepoint<SwiotlbEvent, SwiotlbArgs>;

  constructor(machine: Machine, memory: PhysicalMemory, device: string, maxPages: number) {
    this.#memory = memory;
    this.#device = device;
    this.#areaOrder = Math.min(AREA_ORDER, Math.max(0, Math.floor(Math.log2(maxPages))));
    this.#maxAreas = Math.max(1, Math.floor(maxPages / 2 ** this.#areaOrder));
    this.#slots = new Buddy(this.#maxAreas * AREA_PAGES, AREA_ORDER);
    this.#origin = new Float64Array(this.#maxAreas * AREA_PAGES);
    this.#length = new Float64Array(this.#maxAreas * AREA_PAGES);
    this.#site = machine.faultInjection.site('swiotlb.map');
    this.#counters = dmaCounters(machine).values;
    this.#bounced = machine.trace.point(SWIOTLB_BOUNCED);
    this.#unbounced = machine.trace.point(SWIOTLB_UNBOUNCED);
  }

  /** Mappings that hold a slot. */
  get live(): number {
    return this.#live;
  }

  /**
   * Give a range a slot and copy it there for TO_DEVICE and BIDIRECTIONAL (swiotlb_tbl_map_single).
   *
   * @returns physical byte address of the bounced range, with the page offset of the original; -1 when the pool is
   *   exhausted or the range is longer than 2 MiB.
   */
  map(physBytes: number, sizeBytes: number, dir: DmaDataDirection, attrs: number): number {
    const offset = physBytes & 4095;
    const pages = Math.ceil((offset + sizeBytes) / 4096);
    if (pages > 1 << this.#areaOrder || this.#site.shouldFail()) return -1;
    const order = pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
    const slot = this.#take(order);
    if (slot < 0) return -1;
    const at = this.#areas[slot >>> AREA_ORDER]! * 4096 + (slot & (AREA_PAGES - 1)) * 4096 + offset;
    this.#origin[slot] = physBytes;
    this.#length[slot] = sizeBytes;
    this.#live++;
    this.#counters[C_SWIOTLB]!++;
    if (dir !== DMA_FROM_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) {
      this.#memory.copy(at, physBytes, sizeBytes);
    }
    if (this.#bounced.enabled) this.#bounced.emit(this.#device, physBytes, at, sizeBytes, dir, attrs);
    return at;
  }

  /**
   * Give a slot back and copy to the original for FROM_DEVICE and BIDIRECTIONAL (swiotlb_tbl_unmap_single).
   *
   * @returns false when the address is not a bounced one: then there is nothing to do.
   */
  unmap(slotBytes: number, dir: DmaDataDirection, attrs: number): boolean {
    const slot = this.#slotOf(slotBytes);
    if (slot < 0 || this.#length[slot] === 0) return false;
    const origin = this.#origin[slot]!;
    const size = this.#length[slot]!;
    if (dir !== DMA_TO_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) {
      this.#memory.copy(origin, slotBytes, size);
    }
    const pages = Math.ceil(((origin & 4095) + size) / 4096);
    this.#length[slot] = 0;
    this.#origin[slot] = 0;
    this.#slots.free(slot, pages <= 1 ? 0 : 32 - Math.clz32(pages - 1));
    this.#live--;
    if (this.#unbounced.enabled) this.#unbounced.emit(this.#device, origin, slotBytes, size, dir, attrs);
    return true;
  }

  /** Copy between slot and original without giving the slot back (dma_sync_single_for_cpu and for_device). */
  sync(slotBytes: number, forCpu: boolean): boolean {
    const slot = this.#slotOf(slotBytes);
    if (slot < 0 || this.#length[slot] === 0) return false;
    const from = forCpu ? slotBytes : this.#origin[slot]!;
    const to = forCpu ? this.#origin[slot]! : slotBytes;
    this.#memory.copy(to, from, this.#length[slot]!);
    return true;
  }

  /** Give the pool's pages back to the memory. Slots still in use are lost with it. */
  destroy(): void {
    for (const pfn of this.#areas) this.#memory.freePagesBlock(pfn, this.#areaOrder);
    this.#areas.length = 0;
    this.#areaOf.clear();
  }

  #take(order: number): number {
    const slot = this.#slots.alloc(order);
    if (slot >= 0) return slot;
    if (this.#areas.length === this.#maxAreas) return -1;
    const pfn = this.#memory.allocPages(this.#areaOrder);
    if (pfn === NO_PFN) return -1;
    const area = this.#areas.length;
    this.#areas.push(pfn);
    this.#areaOf.set(pfn >>> this.#areaOrder, area);
    this.#slots.addRange(area * AREA_PAGES, area * AREA_PAGES + (1 << this.#areaOrder));
    return this.#slots.alloc(order);
  }

  #slotOf(slotBytes: number): number {
    const pfn = Math.floor(slotBytes / 4096);
    const area = this.#areaOf.get(pfn >>> this.#areaOrder);
    return area === undefined ? -1 : area * AREA_PAGES + (pfn & ((1 << this.#areaOrder) - 1));
  }
}
