import type { LiveItem, Machine, Pfn, Tracepoint } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from './attributes.ts';
import { liveResources } from './device-report.ts';
import { C_CALL_LINK, C_DMA_FAULT, C_IOVA_ALLOC, C_IOVA_FREE, dmaCounters } from './dma-counters.ts';
import {
  type DmaDeviceOptions,
  type IommuMode,
  makeDomain,
  MSI_WINDOW,
  reserve,
  type ReservedRegion,
} from './device-options.ts';
import { dmaTracepoints, type DmaTracepoints } from './dma-tracepoints.ts';
import { FlushQueue } from './flush-queue.ts';
import type { DramView } from './dram-view.ts';
import type { IommuDomain } from './iommu-domain.ts';
import { IotlbGather } from './iotlb-gather.ts';
import type { IovaAllocator } from './iova/iova-allocator.ts';
import { iovaAllocator } from './iova/iova-allocators.ts';
import type { P2pClient } from './p2pdma.ts';
import { PagingDomain } from './paging-domain.ts';
import { type PeerMemory, PeerWindows } from './peer-memory.ts';
import { NO_PFN, NO_TAG, type PhysicalMemory } from './physical-memory.ts';
import { SEGMENT_SLOTS, SLOT_BYTES } from './swiotlb-pool.ts';
import { Swiotlb } from './swiotlb.ts';
import {
  DMA_ACCESS,
  DMA_DEVICE_CREATE,
  DMA_DEVICE_DESTROY,
  DMA_FAULT,
  type DmaAccessArgs,
  type DmaAccessEvent,
  type DmaFaultEvent,
} from './tracepoints.ts';

const PAGES_32BIT = 2 ** 20;

/**
 * A struct device with its DMA configuration: the IOMMU domain, the IOVA space, the flush queue and the bounce
 * pool that the DMA API works on, and what the hardware does with a DMA address.
 */
export class DmaDevice {
  readonly machine: Machine;
  readonly memory: PhysicalMemory;
  readonly name: string;
  readonly mode: IommuMode;
  readonly coherent: boolean;
  readonly untrusted: boolean;
  /** IOVA bytes that are never handed out, in translated modes. */
  readonly reservedRegions: readonly ReservedRegion[];
  /** Null in modes `none` and `swiotlb`. */
  readonly domain: IommuDomain | null;
  /** Null in modes `none` and `swiotlb`. */
  readonly iova: IovaAllocator | null;
  /** Null unless lazy. */
  readonly flushQueue: FlushQueue | null;
  /** Null unless something may have to be bounced, see {@link DmaDeviceOptions.swiotlbPages}. */
  readonly swiotlb: Swiotlb | null;
  /** Smallest page of the domain; 4096 when the device is not translated. */
  readonly granuleBytes: number;
  /** 4 KiB pages of a granule. */
  readonly granulePages: number;
  /** @internal see {@link DmaDeviceOptions.kmallocAlignBytes}. */
  readonly kmallocAlignBytes: number;
  /** Longest segment that a scatter list's are joined to (dma_set_max_seg_size). */
  maxSegmentBytes: number;
  /** Where the device sits, for peer memory. */
  readonly p2p: P2pClient;
  /** @internal memory as the device sees it, when it does not snoop and the memory tells the two apart. */
  readonly dram: DramView | null;
  /** Virtual CPU on which the DMA API runs: it selects rcaches and flush queue. */
  cpu = 0;
  /** @internal values of counter group `dma`. */
  readonly counters: Float64Array;
  /** @internal the gather of the call in progress; empty between calls. */
  readonly gather: IotlbGather = new IotlbGather();
  /** @internal translated, snooping, never bounced: a page-aligned link is nothing but a map. */
  readonly plain: boolean;
  /** @internal links of whole pages since the counters were folded. */
  pageLinks = 0;
  /** @internal tracepoints of the DMA API. */
  readonly trace: DmaTracepoints;
  #maskBits: number;
  readonly #busBits: number;
  /** Null = as the DMA mask. */
  readonly #coherentBits: number | null;
  readonly #peers: PeerWindows;
  #minAlignMask = 0;
  #segmentBoundaryBytes = 2 ** 32;
  #limitPage = 0;
  /** pci_32bit_workaround: prefer addresses below 4 GiB until that fails once. */
  #prefer32: boolean;
  readonly #endCounting: () => void;
  #polledNs = 0;
  /** What was still alive when the device was destroyed; stays in the ledger. */
  #leaked: readonly LiveItem[] | null = null;
  readonly #fault: Tracepoint<DmaFaultEvent>;
  readonly #access: Tracepoint<DmaAccessEvent, DmaAccessArgs>;

  constructor(machine: Machine, memory: PhysicalMemory, o: DmaDeviceOptions) {
    this.machine = machine;
    this.memory = memory;
    this.name = o.name;
    this.mode = o.iommu;
    this.coherent = o.coherent ?? true;
    this.untrusted = o.untrusted ?? false;
    const counters = dmaCounters(machine);
    this.counters = counters.values;
    this.#endCounting = counters.addSource(() => this.#foldCounters());
    this.trace = dmaTracepoints(machine);
    this.#fault = machine.trace.point(DMA_FAULT);
    this.#access = machine.trace.point(DMA_ACCESS);
    this.#maskBits = o.dmaMaskBits ?? 48;
    this.#busBits = o.busDmaLimitBits ?? 0;
    this.#coherentBits = o.coherentMaskBits ?? null;
    this.kmallocAlignBytes = o.kmallocAlignBytes ?? 0;
    this.maxSegmentBytes = o.maxSegmentBytes ?? 65536;
    this.p2p = o.p2p ?? { upstreamBridge: `root port of ${o.name}`, hostBridgeAllowed: true };
    this.#peers = new PeerWindows(this.p2p);
    this.dram = this.coherent ? null : (memory.dram ?? null);
    this.#prefer32 = o.forcedac !== true;
    const translated = o.iommu === 'strict' || o.iommu === 'lazy';
    this.domain = translated ? (o.domain ?? makeDomain(machine, o)) : null;
    this.granulePages = this.domain === null ? 1 : 2 ** this.domain.leafOrders[0]!;
    this.granuleBytes = this.granulePages * 4096;
    this.iova = translated
      ? iovaAllocator(o.iovaAllocator ?? 'linux-rbtree', machine, 2 ** 32 / this.granuleBytes)
      : null;
    this.reservedRegions = o.reservedRegions ?? [MSI_WINDOW];
    if (this.iova !== null) reserve(this.iova, this.granuleBytes, this.reservedRegions);
    this.flushQueue =
      this.domain !== null && o.iommu === 'lazy'
        ? new FlushQueue(machine, this.domain, o.flushQueue ?? 'per-cpu', (page, pages) =>
            this.#returnIova(page, pages),
          )
        : null;
    const bounces =
      o.iommu === 'swiotlb' ||
      (translated && this.untrusted) ||
      (this.kmallocAlignBytes !== 0 && !this.coherent) ||
      (o.iommu === 'none' && o.swiotlbPages !== undefined);
    this.swiotlb = bounces
      ? new Swiotlb(
          machine,
          memory,
          o.name,
          o.swiotlbPages ?? 16384,
          o.swiotlbSegmentBytes ?? SEGMENT_SLOTS * SLOT_BYTES,
        )
      : null;
    this.minAlignMask = o.minAlignMask ?? 0;
    this.segmentBoundaryBytes = o.segmentBoundaryBytes ?? 2 ** 32;
    this.plain = translated && this.coherent && !bounces && this.granulePages === 1;
    this.#updateLimit();
    machine.ledger.register(() => this.#leaked ?? liveResources(this));
    const created = machine.trace.point(DMA_DEVICE_CREATE);
    if (created.enabled) created.emit(this);
  }

  /** Width of the DMA mask (dma_set_mask). */
  get dmaMaskBits(): number {
    return this.#maskBits;
  }

  set dmaMaskBits(bits: number) {
    this.#maskBits = bits;
    this.#updateLimit();
  }

  /** Offset bits of an address that a bounce slot keeps (dma_set_min_align_mask). */
  get minAlignMask(): number {
    return this.#minAlignMask;
  }

  set minAlignMask(mask: number) {
    this.#minAlignMask = mask;
    if (this.swiotlb !== null) this.swiotlb.minAlignMask = mask;
  }

  /** No DMA segment crosses a multiple of this, a power of two (dma_set_seg_boundary plus one). */
  get segmentBoundaryBytes(): number {
    return this.#segmentBoundaryBytes;
  }

  set segmentBoundaryBytes(bytes: number) {
    this.#segmentBoundaryBytes = bytes;
    if (this.swiotlb !== null) this.swiotlb.boundaryBytes = bytes;
  }

  /** Last page that the device can address: the least of DMA mask, bus limit and, if translated, the aperture. */
  get limitPage(): number {
    return this.#limitPage;
  }

  /** Last page that coherent allocations of the device may use; -1 when it has no coherent mask. */
  get coherentLimitPage(): number {
    if (this.#coherentBits === null) return this.#limitPage;
    return this.#coherentBits === 0 ? -1 : this.#limitOf(this.#coherentBits);
  }

  /** Let the device reach the memory of another one. */
  connectPeer(peer: PeerMemory): void {
    this.#peers.connect(peer);
  }

  /**
   * Device read through a DMA address: IOTLB, then page table, then memory; or memory directly. On a device that
   * does not snoop: what memory holds, not what the CPU's caches do.
   *
   * @returns the page's content tag, or NO_TAG after a DMA fault (counted and traced).
   */
  readTag(dmaAddrBytes: number): number {
    const pfn = this.#reach(dmaAddrBytes, IOMMU_READ);
    if (pfn === NO_PFN) return NO_TAG;
    if (this.#access.enabled) this.#traceAccess(dmaAddrBytes, 'read', pfn);
    if (pfn >= this.memory.totalPages) return this.#peers.at(pfn)!.readTag(pfn);
    return this.dram === null ? this.memory.readTag(pfn) : this.dram.read(pfn);
  }

  /** Device write through a DMA address; false after a DMA fault (counted and traced). */
  writeTag(dmaAddrBytes: number, tag: number): boolean {
    const pfn = this.#reach(dmaAddrBytes, IOMMU_WRITE);
    if (pfn === NO_PFN) return false;
    if (this.#access.enabled) this.#traceAccess(dmaAddrBytes, 'write', pfn);
    if (pfn >= this.memory.totalPages) this.#peers.at(pfn)!.writeTag(pfn, tag);
    else if (this.dram === null) this.memory.writeTag(pfn, tag);
    else this.dram.write(pfn, tag);
    return true;
  }

  /**
   * Physical page behind a DMA address as a device access finds it now, without faulting; NO_PFN when none.
   *
   * @param access - IOMMU_READ or IOMMU_WRITE.
   */
  translate(dmaAddrBytes: number, access: number): Pfn {
    const page = Math.floor(dmaAddrBytes / 4096);
    return this.domain === null ? page : this.domain.deviceTranslate(page, access);
  }

  /**
   * Tear the device down: the flush queue is drained, the domain and the bounce pool go. What is still mapped or
   * reserved at that moment stays in the machine's ledger as a leak.
   */
  destroy(): void {
    if (this.#leaked !== null) throw new RangeError(`device ${this.name} is destroyed already`);
    const point = this.machine.trace.point(DMA_DEVICE_DESTROY);
    if (point.enabled) point.emit(this);
    this.flushQueue?.drain();
    // Table pages go with the domain; leaves, reservations and slots had an owner who forgot them.
    this.#leaked = liveResources(this).filter((item) => item.kind !== 'io page table' && item.count > 0);
    this.swiotlb?.destroy();
    if (this.domain instanceof PagingDomain) this.domain.destroy();
    this.#endCounting();
  }

  /**
   * @internal iommu_dma_alloc_iova: below 4 GiB first, without emptying caches, until that fails once.
   *
   * @param pages - 4 KiB pages, a multiple of a granule.
   * @returns the first IOVA page, 0 when there is no space.
   */
  allocIova(pages: number, limit: number = this.#limitPage): number {
    const iova = this.iova!;
    const per = this.granulePages;
    const granules = pages / per;
    this.poll();
    if (this.#prefer32 && limit >= PAGES_32BIT) {
      const low = iova.alloc(granules, PAGES_32BIT / per - 1, false, this.cpu);
      if (low !== 0) {
        this.counters[C_IOVA_ALLOC]!++;
        return low * per;
      }
      this.#prefer32 = false;
    }
    const first = iova.alloc(granules, per === 1 ? limit : Math.floor((limit + 1) / per) - 1, true, this.cpu);
    if (first !== 0) this.counters[C_IOVA_ALLOC]!++;
    return first * per;
  }

  /** @internal addresses below 4 GiB are still tried first (pci_32bit_workaround). */
  get prefers32Bit(): boolean {
    return this.#prefer32;
  }

  /** @internal iommu_dma_free_iova: to the allocator, or with the gather's tables to the flush queue. */
  freeIova(page: number, pages: number, gather: IotlbGather | null): void {
    if (gather !== null && gather.queued) {
      this.flushQueue!.queue(page, pages, gather.freeHead, this.cpu);
      gather.reset(false);
      return;
    }
    this.#returnIova(page, pages);
  }

  /** @internal run timers that are due: flush queue, trimming of IOVA caches. */
  poll(): void {
    const now = this.machine.clock.nowNs;
    if (now === this.#polledNs) return;
    this.#polledNs = now;
    this.flushQueue?.poll();
    this.iova?.poll();
  }

  #foldCounters(): void {
    this.counters[C_CALL_LINK]! += this.pageLinks;
    this.pageLinks = 0;
  }

  #returnIova(page: number, pages: number): void {
    this.counters[C_IOVA_FREE]!++;
    this.iova!.free(page / this.granulePages, pages / this.granulePages, this.cpu);
  }

  #reach(dmaAddrBytes: number, access: number): Pfn {
    const page = Math.floor(dmaAddrBytes / 4096);
    const atBus = this.#peers.isEmpty ? NO_PFN : this.#peers.throughSwitch(page);
    if (atBus !== NO_PFN) return atBus;
    let pfn = page;
    if (this.domain !== null) {
      if (this.flushQueue !== null) this.poll();
      pfn = this.domain.deviceTranslate(page, access);
      if (pfn === NO_PFN) return this.#refuse(dmaAddrBytes, access);
    }
    if (pfn >= this.memory.totalPages && this.#peers.at(pfn) !== undefined) return pfn;
    if (pfn >= this.memory.totalPages || pfn < 1) return this.#refuse(dmaAddrBytes, access);
    return pfn;
  }

  #refuse(dmaAddrBytes: number, access: number): Pfn {
    this.counters[C_DMA_FAULT]!++;
    if (this.#fault.enabled) {
      const page = Math.floor(dmaAddrBytes / 4096);
      const present = this.domain === null || this.domain.translate(page) !== NO_PFN;
      const reachable = this.domain === null || this.domain.deviceTranslate(page, access) !== NO_PFN;
      this.#fault.emit({
        device: this.name,
        dmaAddrBytes,
        access: access === IOMMU_READ ? 'read' : 'write',
        reason: reachable ? 'no memory' : present ? 'permission' : 'not present',
      });
    }
    return NO_PFN;
  }

  #traceAccess(dmaAddrBytes: number, access: 'read' | 'write', pfn: Pfn): void {
    this.#access.emit(this, dmaAddrBytes, access, pfn);
  }

  #updateLimit(): void {
    this.#limitPage = this.#limitOf(this.#maskBits);
  }

  #limitOf(maskBits: number): number {
    let limit = this.domain === null ? 2 ** 52 - 1 : this.domain.apertureLastPage;
    for (const bits of [maskBits, this.#busBits]) {
      if (bits !== 0) limit = Math.min(limit, 2 ** Math.max(0, bits - 12) - 1);
    }
    return limit;
  }
}
