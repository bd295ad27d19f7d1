import {
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  type DmaDevice,
  DmaIovaState,
  dmaAddressingLimited,
  dmaIovaFree,
  dmaIovaLink,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaMappingError,
  dmaNeedSync,
  dmaUnmapPhys,
  dmaUseIova,
  type P2pClient,
  p2pdmaBusAddr,
  p2pdmaMapType,
  type P2pProvider,
} from '@gpusvm/dma-iova';
import { ENOMEM, EOPNOTSUPP, type Errno, type FaultSite, PAGE_SIZE } from '@gpusvm/kernel';
import { DMA_MAP_FREE_TRACE } from './device-tracepoints.ts';
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_VALID,
  HmmPfns,
} from './hmm-pfns.ts';

/** How a map reaches its pages: one reservation, an address for each entry, or nothing to remember. */
export type HmmDmaMode = 'iova' | 'dma-list' | 'stateless';

const MAPPED = HMM_PFN_VALID | HMM_PFN_DMA_MAPPED;

/**
 * What became of an entry.
 *
 * @param flags - HMM_PFN_* flags of the entry while it is mapped.
 * @param iommu - it went through the DMA layer, and there is an IOMMU.
 * @param attrs - DMA_ATTR_* bits that the DMA layer was given.
 */
export type DmaEntryListener = (
  phase: 'map' | 'unmap',
  index: number,
  flags: number,
  iommu: boolean,
  attrs: number,
) => void;

/** DMA mappings of a range that is faulted with `hmmRangeFault` (struct hmm_dma_map, include/linux/hmm-dma.h). */
export class HmmDmaMap {
  readonly state: DmaIovaState = new DmaIovaState();
  /** The entries, indexed by entry in the map functions and by 4K page in a fault. */
  pfns: HmmPfns = new HmmPfns(0);
  /** DMA address of each entry, only where it has to be remembered. */
  dmaList: Float64Array | null = null;
  dmaEntryBytes = 0;
  /** Told of every entry that is mapped or unmapped; null when nobody wants to know. */
  told: DmaEntryListener | null = null;

  /** DMA_ATTR_* bits of an entry, by its HMM_PFN_* flags. */
  attributes(dev: DmaDevice, flags: number): number {
    const coherent = dev.machine.profile.dma.requireCoherent ? DMA_ATTR_REQUIRE_COHERENT : 0;
    return coherent | ((flags & HMM_PFN_P2PDMA) === 0 ? 0 : DMA_ATTR_MMIO);
  }

  get mode(): HmmDmaMode {
    if (dmaUseIova(this.state)) return 'iova';
    return this.dmaList === null ? 'stateless' : 'dma-list';
  }
}

/** A page that belongs to another device, and who wants to reach it. */
export interface HmmP2p {
  readonly provider: P2pProvider;
  readonly client: P2pClient;
}

/**
 * Prepare a map (hmm_dma_map_alloc, mm/hmm.c; since 6.16): one IOVA reservation for all entries if there is one to be
 * had, else a list of addresses if the device needs an unmap, else nothing. Does not sleep in this model. Asks the fault
 * site `hmm.dma_map_alloc` for each array.
 *
 * @param dev - the device.
 * @param map - fresh, or freed before.
 * @param nrEntries - 4K pages, whatever the size of an entry.
 * @param dmaEntryBytes - bytes that one entry maps, a power of two of at least 4096.
 * @returns 0; -EOPNOTSUPP before 6.16, and where ownership cannot be passed: the device needs CPU syncs (bounced or not
 * coherent) or cannot address all memory; -ENOMEM.
 */
export function hmmDmaMapAlloc(
  dev: DmaDevice,
  map: HmmDmaMap,
  nrEntries: number,
  dmaEntryBytes: number,
): Errno {
  if (!dev.machine.profile.hmm.dmaMap) return -EOPNOTSUPP;
  if (nrEntries * PAGE_SIZE < dmaEntryBytes) {
    dev.machine.warn(
      'hmm_dma_map_alloc: span',
      `${nrEntries} pages are less than an entry of ${dmaEntryBytes} bytes`,
    );
  }
  if (dmaNeedSync(dev) || dmaAddressingLimited(dev)) return -EOPNOTSUPP;
  const site: FaultSite = dev.machine.faultInjection.site('hmm.dma_map_alloc');
  map.dmaEntryBytes = dmaEntryBytes;
  map.dmaList = null;
  if (site.shouldFail()) return -ENOMEM;
  map.pfns = new HmmPfns(nrEntries);
  dmaIovaTryAlloc(dev, map.state, 0, nrEntries * PAGE_SIZE);
  if (dmaUseIova(map.state) || dev.domain === null) return 0;
  if (site.shouldFail()) {
    map.pfns = new HmmPfns(0);
    return -ENOMEM;
  }
  map.dmaList = new Float64Array(nrEntries);
  return 0;
}

/**
 * Give a map up (hmm_dma_map_free). Every entry has been unmapped and the notifier removed: nothing is checked here.
 * Does not sleep.
 */
export function hmmDmaMapFree(dev: DmaDevice, map: HmmDmaMap): void {
  const point = dev.machine.trace.point(DMA_MAP_FREE_TRACE);
  if (point.enabled) {
    let mapped = 0;
    for (const flags of map.pfns.flags) if ((flags & HMM_PFN_DMA_MAPPED) !== 0) mapped++;
    point.emit({ device: dev.name, mapped });
  }
  if (dmaUseIova(map.state)) dmaIovaFree(dev, map.state);
  map.state.addr = 0;
  map.state.size = 0;
  map.pfns = new HmmPfns(0);
  map.dmaList = null;
}

/**
 * Map one entry for the device, both ways (hmm_dma_map_pfn): link and sync of this entry alone, or a plain mapping. An
 * entry that is mapped already keeps its address; without anything to remember it is mapped again. The caller holds the
 * driver's lock with a valid sequence. Does not sleep.
 *
 * @param index - entry; its pfn is `map.pfns.pfn[index]`.
 * @param p2p - set for memory of another device.
 * @returns the DMA address in bytes, or DMA_MAPPING_ERROR; then this entry alone is undone.
 */
export function hmmDmaMapPfn(
  dev: DmaDevice,
  map: HmmDmaMap,
  index: number,
  p2p: HmmP2p | null = null,
): number {
  const { flags, pfn } = map.pfns;
  const offset = index * map.dmaEntryBytes;
  const known = flags[index]!;
  if ((known & HMM_PFN_DMA_MAPPED) !== 0 && (known & HMM_PFN_P2PDMA_BUS) === 0) {
    if (dmaUseIova(map.state)) return map.state.addr + offset;
    if (map.dmaList !== null) return map.dmaList[index]!;
  }
  const physBytes = pfn[index]! * PAGE_SIZE;
  const type = p2p === null ? 'none' : p2pdmaMapType(p2p.provider, p2p.client);
  if (type === 'not-supported') return DMA_MAPPING_ERROR;
  if (type === 'bus-addr') {
    flags[index]! |= HMM_PFN_P2PDMA_BUS | HMM_PFN_DMA_MAPPED;
    map.told?.('map', index, flags[index]!, false, 0);
    return p2pdmaBusAddr(p2p!.provider, physBytes);
  }
  if (type === 'thru-host-bridge') flags[index]! |= HMM_PFN_P2PDMA;
  const attrs = map.attributes(dev, flags[index]!);
  const addr = mapOne(dev, map, index, physBytes, attrs);
  if (dmaMappingError(addr)) {
    flags[index]! &= ~HMM_PFN_P2PDMA;
    return addr;
  }
  flags[index]! |= HMM_PFN_DMA_MAPPED;
  map.told?.('map', index, flags[index]!, dev.domain !== null, attrs);
  return addr;
}

/** The mapping itself; leaves nothing behind when it fails. */
function mapOne(dev: DmaDevice, map: HmmDmaMap, index: number, physBytes: number, attrs: number): number {
  const { state, dmaEntryBytes: size, dmaList } = map;
  const offset = index * size;
  if (dmaUseIova(state)) {
    if (dmaIovaLink(dev, state, physBytes, offset, size, DMA_BIDIRECTIONAL, attrs) !== 0)
      return DMA_MAPPING_ERROR;
    if (dmaIovaSync(dev, state, offset, size) === 0) return state.addr + offset;
    dmaIovaUnlink(dev, state, offset, size, DMA_BIDIRECTIONAL, attrs);
    return DMA_MAPPING_ERROR;
  }
  const addr = dmaMapPhys(dev, physBytes, size, DMA_BIDIRECTIONAL, attrs);
  if (dmaList !== null && !dmaMappingError(addr)) dmaList[index] = addr;
  return addr;
}

/**
 * Undo the mapping of one entry (hmm_dma_unmap_pfn); its sticky flags go. The caller holds the driver's lock and the
 * device no longer uses the entry. Does not sleep.
 *
 * @returns whether it was mapped. An entry that lost VALID but kept DMA_MAPPED counts as not mapped, and its mapping
 * stays for good: an invalidation has to unmap before the page table changes.
 */
export function hmmDmaUnmapPfn(dev: DmaDevice, map: HmmDmaMap, index: number): boolean {
  const { flags } = map.pfns;
  const known = flags[index]!;
  if ((known & MAPPED) !== MAPPED) return false;
  const size = map.dmaEntryBytes;
  const isBus = (known & HMM_PFN_P2PDMA_BUS) !== 0;
  const attrs = isBus ? 0 : map.attributes(dev, known);
  if (!isBus) {
    if (dmaUseIova(map.state)) dmaIovaUnlink(dev, map.state, index * size, size, DMA_BIDIRECTIONAL, attrs);
    else if (map.dmaList !== null) dmaUnmapPhys(dev, map.dmaList[index]!, size, DMA_BIDIRECTIONAL, attrs);
  }
  flags[index] = known & ~(HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS);
  map.told?.('unmap', index, known, !isBus && dev.domain !== null, attrs);
  return true;
}
