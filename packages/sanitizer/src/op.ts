import type { DmaIovaApi, DmaIovaState } from '@gpusvm/dma-iova';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import type { ListMapping } from './shadow/list-mapping.ts';
import type { MappingView } from './shadow/mapping-view.ts';

/**
 * The call or hardware event under examination, decoded. One object is reused for all of them: fields that an event
 * does not have keep old values, so a rule reads only what belongs to its hook.
 */
export class DmaOp {
  device: DeviceShadow;
  /** Live reservation that the call names; 0 = none. */
  reservation = 0;
  /** The object by which it names it. */
  state: DmaIovaState | null = null;
  /** Mapping that the call or access is about; null = none. */
  mapping: MappingView | null = null;
  /** Scatter list that an unmap is about; null = none. */
  list: ListMapping | null = null;
  /** DMA address: of the reservation, the classic mapping or the access. */
  addrBytes = 0;
  /** Size of the reservation as the caller holds it. */
  reservedBytes = 0;
  offsetBytes = 0;
  physBytes = 0;
  sizeBytes = 0;
  /** Segments of a scatter list. */
  segments = 0;
  /** The page table's newest unmap, as pages; -1 = there was none. */
  clearedFirst = -1;
  clearedPages = 0;
  /** What an unmap claims to have cleared. */
  unmappedBytes = 0;
  dir = 0;
  attrs = 0;
  err = 0;
  /** The range in pages of the device's address space (physical frames for `pageFree`). */
  firstPage = 0;
  pages = 0;
  /** Frame that an access reached, or that is mapped. */
  pfn = 0;
  write = false;
  /** The access went to a peer through the switch above both, by a mapped bus address. */
  byBus = false;
  reason = '';
  /** Function on whose behalf an unlink or free happens. */
  api: DmaIovaApi = 'dma_iova_unlink';
  /** The free ends a destroy whose unlink the rules have looked at. */
  judged = false;
  /** Part of the call went through a bounce slot. */
  bounced = false;
  /** What an unlink finds, see `scanUnlink`. */
  linkedPages = 0;
  foreignPages = 0;
  /** First page of the range without a link of this reservation; -1 = none. */
  firstHole = -1;
  /** A link whose direction or attributes differ from the call's. */
  mismatched: MappingView | null = null;
  /** A link that another task has made and not synced yet. */
  unsyncedOfOther: MappingView | null = null;
  /** Granules of the range that go through a bounce slot each. */
  bounces = 0;
  /** Pages of the range that the page table still maps. */
  presentPages = 0;

  constructor(device: DeviceShadow) {
    this.device = device;
  }
}
