import {
  DMA_ATTR_MMIO,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_TO_DEVICE,
  type DmaDevice,
  MSI_WINDOW,
} from '@gpusvm/dma-iova';
import { AddressMap } from './address-map.ts';
import { Mappings } from './mappings.ts';
import { PageCounts } from './page-counts.ts';
import { PendingInvalidations } from './pending.ts';
import { Reservations } from './reservations.ts';
import { Slots } from './slots.ts';
import { TableShadow } from './table-shadow.ts';

/** Bytes that an IOVA space must not hand out. */
export interface ReservedRegion {
  readonly firstByte: number;
  readonly lastByte: number;
}

/** Weight of a mapping that allows writes in {@link DeviceShadow.rights}; lower bits count those that allow reads. */
export const WRITES: number = 1 << 16;

const USUAL_ORDERS: readonly number[] = [0, 9, 18];

/** What the sanitizer knows of one device: its configuration, when it was told, and the ledger of its mappings. */
export class DeviceShadow {
  readonly name: string;
  readonly slots: Slots = new Slots();
  readonly reservations: Reservations = new Reservations();
  readonly mappings: Mappings = new Mappings();
  /** Live reservation by first page. */
  readonly reservationAt: AddressMap = new AddressMap();
  /** Newest live classic mapping by DMA address; older ones with the same address hang on it. */
  readonly mappingAt: AddressMap = new AddressMap();
  readonly pending: PendingInvalidations = new PendingInvalidations();
  readonly tables: TableShadow = new TableShadow();
  /** Live mappings by page when the device is not translated: those that allow reads, plus WRITES for writes. */
  readonly rights: PageCounts = new PageCounts();
  /** Call sites by mapping and by reservation, when they are captured. */
  readonly mappingSites: string[] = [];
  readonly reservationSites: string[] = [];
  /** Bounce slots taken since the last call that explains them: original and slot address in turn. */
  readonly newBounces: number[] = [];
  /** Bounce slots in use. */
  liveBounces = 0;
  /** Whether nothing can have been mapped before the sanitizer listened. */
  complete: boolean;
  /** Whether the IOMMU reports its page-table changes. */
  sawMap = false;
  /** The classic unmap under way, whose page-table change comes next: first page and pages. */
  unmapPage = -1;
  unmapPages = 0;
  /** Accesses through a translation that a lazy domain has not flushed yet: allowed, but worth knowing. */
  lazyWindow = 0;
  /** Bytes of foreign memory that lie in the first or last page of a mapping and are exposed with it. */
  paddingBytes = 0;
  /** No mapping of this device is copied or kept coherent by hand. */
  plain = true;
  #device: DmaDevice | null = null;
  #lastReservation = 0;
  #limitBits = -1;
  #limitPage = 0;
  #reserved: readonly ReservedRegion[] = [MSI_WINDOW];

  constructor(name: string, complete: boolean) {
    this.name = name;
    this.complete = complete;
  }

  /** Learn the configuration. */
  watch(device: DmaDevice, reserved: readonly ReservedRegion[] | undefined): void {
    this.#device = device;
    this.plain = device.coherent && device.swiotlb === null;
    if (reserved !== undefined) this.#reserved = reserved;
    if (device.domain !== null && device.domain.mappedPages > 0 && !this.sawMap) this.complete = false;
  }

  /** The device, when the sanitizer was told. */
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

  /** Whether a range of pages touches a reserved region. */
  touchesReserved(firstPage: number, pages: number): boolean {
    const first = firstPage * 4096;
    const last = (firstPage + pages) * 4096 - 1;
    for (const { firstByte, lastByte } of this.#reserved)
      if (first <= lastByte && last >= firstByte) return true;
    return false;
  }

  /** DMA addresses go through a page table. */
  get translated(): boolean {
    return this.#device === null ? this.sawMap : this.#device.domain !== null;
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

  /** Live reservation that starts at a page; 0 = none. Calls come in series about one reservation. */
  reservation(firstPage: number): number {
    const last = this.#lastReservation;
    if (last !== 0 && this.reservations.pages[last]! > 0 && this.reservations.firstPage[last] === firstPage)
      return last;
    this.#lastReservation = this.reservationAt.get(firstPage);
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
}
