import {
  DMA_ACCESS,
  DMA_ALLOC_COHERENT,
  DMA_DEVICE_CREATE,
  DMA_DEVICE_DESTROY,
  DMA_FAULT,
  DMA_FREE_COHERENT,
  DMA_IOVA_ALLOC,
  DMA_IOVA_FREE,
  DMA_IOVA_LINK,
  DMA_IOVA_SYNC,
  DMA_IOVA_UNLINK,
  DMA_MAP_PHYS,
  DMA_MAP_SG,
  DMA_SYNC_SINGLE,
  DMA_UNMAP_PHYS,
  DMA_UNMAP_SG,
  IOMMU_MAP,
  IOMMU_TABLE_FREE,
  IOMMU_TABLE_UNLINK,
  IOMMU_UNMAP,
  IOTLB_INVALIDATE,
  PAGE_ALLOC,
  PAGE_FREE,
  SWIOTLB_BOUNCED,
  SWIOTLB_UNBOUNCED,
} from '@gpusvm/dma-iova';
import { ClassicEvents } from './events/classic-events.ts';
import { CoherentEvents } from './events/coherent-events.ts';
import { HardwareEvents } from './events/hardware-events.ts';
import { IommuEvents } from './events/iommu-events.ts';
import { IovaEvents } from './events/iova-events.ts';
import { ListEvents } from './events/list-events.ts';
import { UnlinkEvents } from './events/unlink-events.ts';
import type { DmaLedger } from './ledger.ts';

/**
 * Begin to listen to the DMA layer.
 *
 * @returns functions that stop listening.
 */
export function tapDmaLayer(ledger: DmaLedger): (() => void)[] {
  const { trace } = ledger.machine;
  const iova = new IovaEvents(ledger);
  const unlinks = new UnlinkEvents(ledger);
  const classic = new ClassicEvents(ledger);
  const lists = new ListEvents(ledger);
  const coherent = new CoherentEvents(ledger);
  const iommu = new IommuEvents(ledger);
  const hardware = new HardwareEvents(ledger);
  return [
    trace.tap(DMA_DEVICE_CREATE, (dev) => ledger.create(dev)),
    trace.tap(DMA_DEVICE_DESTROY, (dev) => ledger.destroy(dev)),
    trace.tap(DMA_IOVA_ALLOC, (dev, state) => iova.alloc(dev, state)),
    trace.tap(DMA_IOVA_LINK, iova.link),
    trace.tap(DMA_IOVA_SYNC, (dev, state, offset, size, err) => iova.sync(dev, state, offset, size, err)),
    trace.tap(DMA_IOVA_UNLINK, (dev, state, offset, size, unmapped, dir, attrs, api) =>
      unlinks.unlink(dev, state, offset, size, unmapped, dir, attrs, api),
    ),
    trace.tap(DMA_IOVA_FREE, (dev, state, size, api) => iova.free(dev, state, size, api)),
    trace.tap(DMA_MAP_PHYS, (dev, addr, phys, size, dir, attrs) =>
      classic.map(dev, addr, phys, size, dir, attrs),
    ),
    trace.tap(DMA_UNMAP_PHYS, (dev, addr, _phys, size, dir, attrs) =>
      classic.unmap(dev, addr, size, dir, attrs),
    ),
    trace.tap(DMA_SYNC_SINGLE, (dev, addr, size, dir) => classic.syncSingle(dev, addr, size, dir)),
    trace.tap(DMA_MAP_SG, (dev, sg, dir, attrs) => lists.map(dev, sg, dir, attrs)),
    trace.tap(DMA_UNMAP_SG, (dev, sg, dir, attrs) => lists.unmap(dev, sg, dir, attrs)),
    trace.tap(DMA_ALLOC_COHERENT, (dev, buffer) => coherent.alloc(dev, buffer)),
    trace.tap(DMA_FREE_COHERENT, (dev, buffer) => coherent.free(dev, buffer)),
    trace.tap(SWIOTLB_BOUNCED, (name, phys) => hardware.bounced(name, phys)),
    trace.tap(SWIOTLB_UNBOUNCED, (name, _phys, slot, _size, dir, attrs) =>
      hardware.unbounced(name, slot, dir, attrs),
    ),
    trace.tap(IOMMU_MAP, iommu.map),
    trace.tap(IOMMU_UNMAP, (name, page, pages, unmapped, overHoles) =>
      iommu.unmap(name, page, pages, unmapped, overHoles),
    ),
    trace.tap(IOMMU_TABLE_UNLINK, (name, table, page, pages) => iommu.tableUnlink(name, table, page, pages)),
    trace.tap(IOMMU_TABLE_FREE, (name, table) => iommu.tableFree(name, table)),
    trace.tap(IOTLB_INVALIDATE, (name, page, order, leafOnly) =>
      iommu.invalidate(name, page, order, leafOnly),
    ),
    trace.tap(DMA_ACCESS, (dev, addr, access, pfn) => hardware.access(dev, addr, access, pfn)),
    trace.tap(DMA_FAULT, (event) => hardware.fault(event)),
    trace.tap(PAGE_ALLOC, (pfn, pages) => hardware.pageAlloc(pfn, pages)),
    trace.tap(PAGE_FREE, (pfn, pages) => hardware.pageFree(pfn, pages)),
  ];
}
