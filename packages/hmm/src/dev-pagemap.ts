import { HPAGE_PMD_NR, type Pfn, type Task, done } from '@gpusvm/kernel';
import { FOLIO_COHERENT, FOLIO_DEVICE, FOLIO_HEAD, FOLIO_LOCKED } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import type { Mm } from './mm.ts';
import { VM_FAULT_SIGBUS } from './vm-fault.ts';
import type { Vma } from './vma.ts';

/** A CPU fault as `migrateToRam` sees it (struct vm_fault). */
export interface VmFault {
  readonly mm: Mm;
  readonly vma: Vma;
  /** Faulting virtual page. */
  readonly page: number;
  /** Head of the device folio; the fault holds its lock and one reference. Pass it to setup as `faultFolio`. */
  readonly folio: Pfn;
  /** The entry is a PMD; false asks for single pages (vmf->pte is set). */
  readonly pmd: boolean;
}

/** Operations of a device memory provider (struct dev_pagemap_ops). */
export interface DevPagemapOps {
  /**
   * Bring the page that the CPU touched back to RAM; only private memory needs it. Called with the mmap lock held for reading; may sleep.
   *
   * @returns 0 (the CPU tries again), or VM_FAULT_SIGBUS / VM_FAULT_OOM, which kills the process.
   */
  migrateToRam(vmf: VmFault): Task<number>;
  /** The last reference was put. Must not sleep. */
  folioFree(headPfn: Pfn): void;
  /**
   * A large device folio is being split: called once per new tail and once with `null` at the end. Must not
   * sleep. The driver gives the tail its zone device data (`FolioTable.setZoneDeviceData`).
   */
  folioSplit?(head: Pfn, tail: Pfn | null): void;
}

/** How a provider is made. Only device-private memory has to say how a page comes back to RAM. */
export type DevPagemapOptions = {
  /** Token compared by `hmmRangeFault` and `migrateVmaSetup`. */
  readonly owner: object;
  readonly pages: number;
  /** The provider tells DEVICE_COPY_TRACE of every page that it fills in a migration; default false. */
  readonly tellsCopies?: boolean;
} & (
  | { readonly type: 'private'; readonly ops: DevPagemapOps }
  | { readonly type: 'coherent'; readonly ops: Omit<DevPagemapOps, 'migrateToRam'> }
);

/**
 * A window of device memory with page structures (struct dev_pagemap, mm/memremap.c). The window's pfns follow
 * RAM. Private memory has no content here: what is in the pages is the driver's business. Coherent memory has content
 * tags as RAM has, read and written through `FolioTable.readTag` and `writeTag`.
 */
export class DevPagemap {
  readonly type: 'private' | 'coherent';
  readonly owner: object;
  readonly ops: DevPagemapOps;
  readonly pages: number;
  readonly basePfn: Pfn;
  /** Copies into the window and out of it are told (DEVICE_COPY_TRACE). */
  readonly tellsCopies: boolean;
  /** 4K pages of live folios (pgmap->ref). */
  liveReferences = 0;
  #removed = false;
  readonly #folios: FolioTable;
  readonly #data: (object | null)[];
  readonly #tags: Float64Array;

  /** memremap_pages: append the window. Cost: grows the folio table once. */
  constructor(folios: FolioTable, options: DevPagemapOptions) {
    const { type, owner, pages } = options;
    if (!Number.isInteger(pages) || pages < 1)
      throw new RangeError(`a device window needs pages, got ${pages}`);
    this.type = type;
    this.owner = owner;
    this.tellsCopies = options.tellsCopies ?? false;
    // The CPU never faults on coherent memory, so nobody calls what is missing there.
    this.ops =
      options.type === 'private'
        ? options.ops
        : { migrateToRam: () => done(VM_FAULT_SIGBUS), ...options.ops };
    this.pages = pages;
    this.#folios = folios;
    this.#data = Array<object | null>(pages).fill(null);
    this.#tags = new Float64Array(type === 'coherent' ? pages : 0);
    this.basePfn = folios.appendWindow(this, pages);
  }

  /** Whether the page belongs to this provider. */
  contains(pfn: Pfn): boolean {
    return pfn >= this.basePfn && pfn < this.basePfn + this.pages;
  }

  /** Whether `remove` was called; a removed window hands out no page. */
  get removed(): boolean {
    return this.#removed;
  }

  /**
   * memunmap_pages: take the window away. The kernel would wait for the last page; here the caller must have
   * migrated or freed everything.
   *
   * @throws Error that says how many pages live.
   */
  remove(): void {
    if (this.liveReferences !== 0) {
      throw new Error(`device window at pfn ${this.basePfn} removed with ${this.liveReferences} live pages`);
    }
    this.#removed = true;
  }

  /** @internal */
  dataAt(pfn: Pfn): object | null {
    return this.#data[pfn - this.basePfn]!;
  }

  /** @internal */
  setDataAt(pfn: Pfn, data: object | null): void {
    this.#data[pfn - this.basePfn] = data;
  }

  /** @internal content tag of a page of coherent memory. */
  readTag(pfn: Pfn): number {
    return this.#tags[pfn - this.basePfn]!;
  }

  /** @internal */
  writeTag(pfn: Pfn, tag: number): void {
    this.#tags[pfn - this.basePfn] = tag;
  }

  /** @internal free_zone_device_folio: the last reference of a folio was put. */
  freeFolio(head: Pfn, order: number): void {
    this.ops.folioFree(head);
    this.#data[head - this.basePfn] = null;
    if (order !== 0) this.#folios.orders.fill(0, head, head + 2 ** order);
    this.liveReferences -= 1 << order;
  }
}

/**
 * Make free device pages a folio with reference count 1, locked, without a mapping (zone_device_page_init).
 * Does not sleep. Cost: O(1) for a single page, a fill of 2^order bytes for a large folio.
 *
 * @param folios - the table of the machine.
 * @param pfn - first page; aligned to 2^order.
 * @param pagemap - its provider.
 * @param order - log2 of the pages.
 * @param zdd - zone device data, returned by `FolioTable.zoneDeviceData`.
 * @throws RangeError when the pages are not free pages of the provider.
 */
export function zoneDevicePageInit(
  folios: FolioTable,
  pfn: Pfn,
  pagemap: DevPagemap,
  order: number,
  zdd: object | null,
): void {
  const pages = 2 ** order;
  if (pagemap.removed) throw new RangeError(`pfn ${pfn}: the device window was removed`);
  if (!pagemap.contains(pfn) || !pagemap.contains(pfn + pages - 1) || (pfn & (pages - 1)) !== 0) {
    throw new RangeError(`pfn ${pfn} order ${order} is not a block of the window at ${pagemap.basePfn}`);
  }
  if (order > Math.log2(HPAGE_PMD_NR))
    throw new RangeError(`device folios have at most order 9, got ${order}`);
  for (let i = 0; i < pages; i++) {
    if (folios.refs[pfn + i] !== 0 || (folios.flags[folios.head(pfn + i)]! & FOLIO_HEAD) !== 0) {
      throw new RangeError(`device page ${pfn + i} is in use`);
    }
  }
  const coherent = pagemap.type === 'coherent' ? FOLIO_COHERENT : 0;
  folios.prep(pfn, order, FOLIO_HEAD | FOLIO_DEVICE | FOLIO_LOCKED | coherent, 1);
  pagemap.setDataAt(pfn, zdd);
  pagemap.liveReferences += pages;
}
