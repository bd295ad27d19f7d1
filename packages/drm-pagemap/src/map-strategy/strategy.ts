import type { DmaDataDirection, DmaDevice } from '@gpusvm/dma-iova';
import type { Errno } from '@gpusvm/kernel';
import type { MapState } from './map-state.ts';
import type { SystemPages } from '../system-pages.ts';

/** The mapping schemes of the debate. */
export type MapStrategyName =
  | 'map-page'
  | 'iova-dummy-fill'
  | 'iova-packed'
  | 'iova-holes-one-destroy'
  | 'iova-hole-tolerant';

/**
 * How system pages get DMA addresses. Strategies are stateless; what one call mapped is in its {@link MapState}.
 * Neither function sleeps: both run under the gpusvm notifier lock.
 */
export interface MapStrategy {
  readonly name: MapStrategyName;
  /** One sentence: what it does. */
  readonly summary: string;
  /** Where it was proposed: message-id or commit. */
  readonly source: string;
  /**
   * Map every page of `pages` and make the result visible to the device with one sync.
   *
   * @param state - empty on entry. After an error it says what has to be undone: the caller calls {@link unmap}.
   * @param pages - in: slots, pfns, orders; out: addresses.
   * @param npages - slots of the whole array or range, holes included.
   * @param iovaAllowed - false when the kernel does not try IOVA (a range whose first page is a device page).
   * @returns 0; what dma_iova_link or dma_iova_sync returns; -EFAULT when a page cannot be mapped singly.
   */
  map(
    dev: DmaDevice,
    state: MapState,
    pages: SystemPages,
    npages: number,
    dir: DmaDataDirection,
    iovaAllowed: boolean,
  ): Errno;
  /** Undo exactly what {@link map} did, also when it failed half-way, and reset the state. */
  unmap(dev: DmaDevice, state: MapState, pages: SystemPages, dir: DmaDataDirection): void;
}
