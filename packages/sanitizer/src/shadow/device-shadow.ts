import {
  type CoherentBuffer,
  DMA_ATTR_MMIO,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_TO_DEVICE,
  type DmaDevice,
  type DmaIovaState,
  MSI_WINDOW,
  type ReservedRegion,
  type ScatterList,
} from '@gpusvm/dma-iova';
import { AddressMap } from './address-map.ts';
import { BounceShadow } from './bounce-shadow.ts';
import { inlineDir, inlineKind, inlineTask } from './inline-link.ts';
import type { ListMapping } from './list-mapping.ts';
import { MapChanges } from './map-changes.ts';
import type { MappingView } from './mapping-view.ts';
import { Mappings } from './mappings.ts';
import { PageCounts } from './page-counts.ts';
import { PendingInvalidations } from './pending.ts';
import { Reservations } from './reservations.ts';
import { LINKED } from './slot-flags.ts';
import { ClearedSlots } from './slot-mapping.ts';
import { visitAllSlots } from './slot-visit.ts';
import { Slots } from './slots.ts';
import { TableShadow } from './table-shadow.ts';

const USUAL_ORDERS: readonly number[] = [0, 9, 18];

/** What the sanitizer knows of one device: its configuration, when it was seen, and the ledger of its mappings. */
export class DeviceShadow {
  readonly name: string;
  /** By DMA address; of a device that is not translated only what is mapped page by page. */
  readonly slots: Slots = new Slots();
  readonly reservations: Reservations = new Reservations();
  readonly mappings: Mappings = new Mappings();
  /** Live reservation by first page. */
  readonly reservationAt: AddressMap = new AddressMap();
  /** Newest live mapping record by DMA address, links apart; older ones with the same address hang on it. */
  readonly mappingAt: AddressMap = new AddressMap();
  readonly pending: PendingInvalidations = new PendingInvalidations();
  readonly tables: TableShadow = new TableShadow();
  /** Live scatter lists by the object that their owner holds. */
  readonly lists: Map<ScatterList, ListMapping> = new Map();
  /** Lists whose owner has mapped the same object once more: nobody can unmap them now. */
  readonly lostLists: ListMapping[] = [];
  /** Live coherent memory, with the records of its blocks. */
  readonly coherent: Map<CoherentBuffer, readonly number[]> = new Map();
  /** As {@link rights}, for bus addresses of peers. */
  readonly busRights: PageCounts = new PageCounts();
  readonly bounces: BounceShadow = new BounceShadow();
  /** What the page table did since the last call that explains it. */
  readonly changes: MapChanges = new MapChanges();
  /** What the newest unmap of the page table found. */
  readonly cleared: ClearedSlots = new ClearedSlots();
  /** The slots of {@link cleared} are invalidated, though their flags still say STALE. */
  cleanCleared = false;
  /** Rights by page when the device is not translated, as far as records give them; see `rights.ts`. */
  readonly rights: PageCounts = new PageCounts();
  /** Of such a device, the mappings by page that cover a part of it only. */
  readonly edges: PageCounts = new PageCounts();
  /** Whether nothing can have been mapped before the sanitizer listened. */
  complete: boolean;
  /** Whether the IOMMU reports its page-table changes. */
  sawMap = false;
  /** The device is destroyed: what its domain still does concerns nobody. */
  gone = false;
  /** The classic unmap under way, whose page-table change comes next: first page and pages. */
  unmapPage = -1;
  unmapPages = 0;
  /** Accesses through a translation that a lazy domain has not flushed yet: allowed, but worth knowing. */
  lazyWindow = 0;
  /** Bytes of foreign memory that lie in the first or last page of a mapping and are exposed with it. */
  paddingBytes = 0;
  /** 4 KiB pages of a granule, the smallest page of the IOMMU. */
  granulePages = 1;
  /** No mapping of this device is copied or kept coherent by hand, and its granules are pages. */
  plain = false;
  /** Frames of the memory that the device shares with the CPU; behind them are BARs of peers. */
  frames: number = Number.POSITIVE_INFINITY;
  /** DMA addresses go through a page table. */
  translated = false;
  #device: DmaDevice | null = null;
  #lastState: DmaIovaState | null = null;
  #lastReservation = 0;
  #limitBits = -1;
  #limitPage = 0;
  #reserved: readonly ReservedRegion[] = [MSI_WINDOW];

  constructor(name: string, complete: boolean) {
    this.name = name;
    this.complete = complete;
  }

  /** Learn the configuration. */
  watch(device: DmaDevice): void {
    if (this.#device === device) return;
    this.#device = device;
    this.frames = device.memory.totalPages;
    this.granulePages = device.granulePages;
    this.plain = device.coherent && device.swiotlb === null && device.granulePages === 1;
    this.translated = device.domain !== null;
    this.#reserved = device.reservedRegions;
    if (device.domain !== null && device.domain.mappedPages > 0 && !this.sawMap) this.complete = false;
  }

  /** The device, once it was seen. */
  get device(): DmaDevice | null {
    return this.#device;
  }

  get reserved(): readonly ReservedRegion[] {
    return this.#reserved;
  }

  /** Leaf sizes of the page table, log2 of pages. */
  get leafOrders(): readonly number[] {
    return this.#device?.domain?.leafOrders ?? USUAL_ORDERS;
  }

  /** Last page that may be handed out: DMA mask, bus limit and aperture; infinite when unknown. */
  get limitPage(): number {
    const device = this.#device;
    if (device === null) return Number.POSITIVE_INFINITY;
    if (device.dmaMaskBits !== this.#limitBits) {
      this.#limitBits = device.dmaMaskBits;
      const mask =
        this.#limitBits === 0 ? Number.POSITIVE_INFINITY : 2 ** Math.max(0, this.#limitBits - 12) - 1;
      this.#limitPage = Math.min(
        mask,
        device.domain?.apertureLastPage ?? Number.POSITIVE_INFINITY,
        device.limitPage,
      );
    }
    return this.#limitPage;
  }

  /** First page of the granule that holds an address. */
  pageAt(addrBytes: number): number {
    const per = this.granulePages;
    return per === 1 ? Math.floor(addrBytes / 4096) : Math.floor(addrBytes / (per * 4096)) * per;
  }

  /** Page behind the granules that a range up to this address needs. */
  pageBehind(endBytes: number): number {
    const per = this.granulePages;
    return per === 1 ? Math.ceil(endBytes / 4096) : Math.ceil(endBytes / (per * 4096)) * per;
  }

  /** Bytes of an address beyond the start of its granule. */
  offsetOf(addrBytes: number): number {
    return addrBytes & (this.granulePages * 4096 - 1);
  }

  /** Frames that a range of physical memory lies in, whole granules. */
  framesOf(physBytes: number, sizeBytes: number): number {
    return this.pageBehind(physBytes + sizeBytes) - this.pageAt(physBytes);
  }

  /** Whether a range of pages touches a reserved region. */
  touchesReserved(firstPage: number, pages: number): boolean {
    const first = firstPage * 4096;
    const last = (firstPage + pages) * 4096 - 1;
    const reserved = this.#reserved;
    for (let i = 0; i < reserved.length; i++) {
      const region = reserved[i]!;
      if (first <= region.lastByte && last >= region.firstByte) return true;
    }
    return false;
  }

  /** An unmap may leave its invalidation to a later flush. Unknown devices get the benefit of the doubt. */
  get lazy(): boolean {
    return this.#device === null || this.#device.mode === 'lazy';
  }

  /** A mapping of this device is kept coherent by hand: cache maintenance or copies. */
  maintains(dir: number, attrs: number, bounced: boolean): boolean {
    if (dir === DMA_TO_DEVICE || (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO)) !== 0) return false;
    return bounced || (this.#device !== null && !this.#device.coherent);
  }

  /** A new reservation; calls about it are likely to follow. */
  noteReservation(state: DmaIovaState, id: number): void {
    this.#lastState = state;
    this.#lastReservation = id;
  }

  /** Live reservation at the address that a state holds; 0 = none. Calls come in series about one state. */
  reservation(state: DmaIovaState): number {
    if (state === this.#lastState) {
      const last = this.#lastReservation;
      if (this.reservations.pages[last]! > 0 && this.reservations.addrBytes[last] === state.addr) return last;
    }
    this.#lastState = state;
    this.#lastReservation = this.reservationAt.get(this.pageAt(state.addr));
    return this.#lastReservation;
  }

  /** Live reservation that holds an address; 0 = none. Linear: for reports. */
  reservationHolding(page: number): number {
    let found = 0;
    this.reservations.forEach((id) => {
      const first = this.reservations.firstPage[id]!;
      if (page >= first && page < first + this.reservations.pages[id]!) found = id;
    });
    return found;
  }

  /** What is mapped at a slot; null when nothing is. */
  mappingAtPage(page: number): MappingView | null {
    if ((this.slots.flagsAt(page) & LINKED) === 0) return null;
    return this.mapping(this.slots.linkAt(page), page);
  }

  /**
   * A mapping by what a slot says.
   *
   * @param page - the slot, which decides about inline mappings.
   */
  mapping(link: number, page: number): MappingView {
    if (link > 0) return this.record(link);
    const kind = inlineKind(link);
    const pfn = this.translated ? this.slots.pfnAt(page) : page;
    return {
      kind,
      firstPage: page,
      pages: 1,
      addrBytes: page * 4096,
      physBytes: pfn * 4096,
      sizeBytes: 4096,
      dir: inlineDir(link),
      attrs: 0,
      reservation: kind === 'link' ? this.reservationHolding(page) : 0,
      task: inlineTask(link),
      call: this.slots.callAt(page),
      bounced: false,
    };
  }

  /** A mapping record. */
  record(id: number): MappingView {
    const { mappings } = this;
    return {
      kind: mappings.kind(id),
      firstPage: mappings.firstPage(id),
      pages: mappings.pages(id),
      addrBytes: mappings.addrBytes(id),
      physBytes: mappings.physBytes(id),
      sizeBytes: mappings.sizeBytes(id),
      dir: mappings.dir(id),
      attrs: mappings.attrs(id),
      reservation: mappings.reservation(id),
      task: mappings.task(id),
      call: mappings.call(id),
      bounced: mappings.bounced(id),
    };
  }

  /** Visit every live mapping, oldest first. Linear: for reports. */
  forEachMapping(fn: (mapping: MappingView) => void): void {
    const all: MappingView[] = [];
    this.mappings.forEach((id) => all.push(this.record(id)));
    visitAllSlots(this.slots, (page, _pages, flags, link) => {
      if ((flags & LINKED) !== 0 && link < 0) all.push(this.mapping(link, page));
    });
    all.sort((a, b) => a.call - b.call || a.firstPage - b.firstPage);
    for (const mapping of all) fn(mapping);
  }
}
