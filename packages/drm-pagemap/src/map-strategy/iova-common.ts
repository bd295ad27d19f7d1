import {
  DMA_MAPPING_ERROR,
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaLink,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPage,
  dmaUnmapPage,
} from '@gpusvm/dma-iova';
import { EFAULT, type Errno, PAGE_SIZE } from '@gpusvm/kernel';
import type { SystemPages } from '../system-pages.ts';
import type { MapState } from './map-state.ts';

/** @internal Begin a map: the state must be unused (INV-11). */
export function begin(state: MapState): void {
  if (state.active) throw new Error('map into a state that still holds a mapping');
  state.active = true;
}

/**
 * @internal Reserve IOVA space for the whole array, once; a refusal holds for the whole array.
 *
 * @returns false = map page by page.
 */
export function reserve(dev: DmaDevice, state: MapState, npages: number, iovaAllowed: boolean): boolean {
  return iovaAllowed && dmaIovaTryAlloc(dev, state.iova, 0, npages * PAGE_SIZE);
}

/** @internal One dma_map_page per folio; entries `[0, state.mapped)` are mapped when it fails. */
export function mapEach(dev: DmaDevice, state: MapState, pages: SystemPages, dir: DmaDataDirection): Errno {
  const { count, pfn, order, addr } = pages;
  for (let j = 0; j < count; j++) {
    const mapped = dmaMapPage(dev, pfn[j]!, 0, PAGE_SIZE << order[j]!, dir, 0);
    if (mapped === DMA_MAPPING_ERROR) return -EFAULT;
    addr[j] = mapped;
    state.mapped = j + 1;
  }
  return 0;
}

/** @internal Undo {@link mapEach}, a partial one too. */
export function unmapEach(dev: DmaDevice, state: MapState, pages: SystemPages, dir: DmaDataDirection): void {
  const { order, addr } = pages;
  for (let j = 0; j < state.mapped; j++) dmaUnmapPage(dev, addr[j]!, PAGE_SIZE << order[j]!, dir, 0);
}

/**
 * @internal The map of the schemes that leave holes: every folio at `slot * PAGE_SIZE`, page by page where there is
 * no reservation to be had.
 */
export function mapAtSlots(
  dev: DmaDevice,
  state: MapState,
  pages: SystemPages,
  npages: number,
  dir: DmaDataDirection,
  iovaAllowed: boolean,
): Errno {
  if (pages.count === 0) return 0;
  begin(state);
  if (!reserve(dev, state, npages, iovaAllowed)) return mapEach(dev, state, pages, dir);
  return linkAtSlots(dev, state, pages, npages, dir);
}

/**
 * Link every folio at its slot and leave the holes empty, then sync the whole reservation once. After a failure
 * `offsetBytes` is the end of the last link, otherwise the whole reservation.
 */
function linkAtSlots(
  dev: DmaDevice,
  state: MapState,
  pages: SystemPages,
  npages: number,
  dir: DmaDataDirection,
): Errno {
  const { count, slot, pfn, order, addr } = pages;
  const base = state.iova.addr;
  for (let j = 0; j < count; j++) {
    const offset = slot[j]! * PAGE_SIZE;
    const size = PAGE_SIZE << order[j]!;
    const err = dmaIovaLink(dev, state.iova, pfn[j]! * PAGE_SIZE, offset, size, dir, 0);
    if (err !== 0) return err;
    addr[j] = base + offset;
    state.mapped = j + 1;
    state.offsetBytes = offset + size;
  }
  state.offsetBytes = npages * PAGE_SIZE;
  return dmaIovaSync(dev, state.iova, 0, state.offsetBytes);
}
