import { type Errno, type Machine, Mutex, type Pfn, type Task } from '@gpusvm/kernel';
import { DevPagemap, type DevPagemapOps, zoneDevicePageInit } from '../dev-pagemap.ts';
import type { FolioTable } from '../folio-table.ts';
import { DevmemChunk } from './devmem-chunk.ts';
import { devmemFault } from './devmem-fault.ts';
import { evictChunk } from './evict-chunk.ts';

/** How a simulated device is made. */
export interface DmirrorDeviceOptions {
  /** `private`: /dev/hmm_dmirror0 and 1; `coherent`: 2 and 3. */
  readonly type: 'private' | 'coherent';
  /** Pages of a chunk; the module has 65536 (256 MiB). A multiple of 512. */
  readonly chunkPages?: number;
  /** Chunks that may be claimed in all; a coherent device has one. */
  readonly maxChunks?: number;
  readonly name?: string;
}

/**
 * A device of the kernel's HMM test module (struct dmirror_device, lib/test_hmm.c): memory in chunks, which are claimed
 * when they are needed and then handed out as single pages or as 2 MiB folios only. Several processes may have it open.
 */
export class DmirrorDevice {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly type: 'private' | 'coherent';
  readonly name: string;
  readonly mutex: Mutex;
  /** The next allocation to the device, or on the way back, fails (HMM_DMIRROR_FLAG_FAIL_ALLOC). */
  failAlloc = false;
  readonly #chunkPages: number;
  readonly #maxChunks: number;
  #chunks: DevmemChunk[] = [];
  /** Windows of chunks that were given up; the model keeps their page frames. */
  readonly #spare: DevPagemap[] = [];
  #claimed = 0;

  constructor(folios: FolioTable, o: DmirrorDeviceOptions) {
    this.folios = folios;
    this.machine = folios.machine;
    this.type = o.type;
    this.name = o.name ?? `hmm_dmirror (${o.type})`;
    this.#chunkPages = o.chunkPages ?? 4096;
    this.#maxChunks = o.maxChunks ?? (o.type === 'coherent' ? 1 : 64);
    this.mutex = new Mutex(this.machine, `${this.name} devmem_lock`);
    this.#claim(0);
  }

  /** 4K pages of device memory in use. */
  get liveReferences(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.pagemap.liveReferences, 0);
  }

  /** Whether the page is memory of this device. */
  owns(pfn: Pfn): boolean {
    return this.#chunks.some((chunk) => chunk.pagemap.contains(pfn));
  }

  /** Device memory as the device sees it: the backing pages of private memory, or the coherent pages themselves. */
  load(pfn: Pfn): number {
    return this.type === 'coherent' ? this.folios.readTag(pfn) : this.#chunkOf(pfn).load(pfn);
  }

  /** Write a page of the device's memory. */
  store(pfn: Pfn, tag: number): void {
    if (this.type === 'coherent') this.folios.writeTag(pfn, tag);
    else this.#chunkOf(pfn).store(pfn, tag);
  }

  /**
   * Allocate device memory (dmirror_devmem_alloc_page, dmirror_devmem_alloc_folio): a locked folio of its own, or -1.
   *
   * @param order - 0 or 9.
   * @param zdd - the file on whose behalf it is.
   */
  alloc(order: 0 | 9, zdd: object): Pfn {
    if (this.takeFailure()) return -1;
    let chunk = this.#chunks.find((c) => c.order === order && c.hasFree);
    chunk ??= this.#claim(order) ?? undefined;
    if (chunk === undefined) return -1;
    const pfn = chunk.take();
    zoneDevicePageInit(this.folios, pfn, chunk.pagemap, order, zdd);
    return pfn;
  }

  /** Whether an allocation is to fail now. One shot. */
  takeFailure(): boolean {
    const fail = this.failAlloc;
    this.failAlloc = false;
    return fail;
  }

  /** Bring every page back to RAM (dmirror_device_evict_chunk for all chunks). May sleep. */
  *evict(): Task<void> {
    for (const chunk of this.#chunks.slice()) yield* evictChunk(this, chunk);
  }

  /** RELEASE: evict, and give the chunks up, so that the next allocation claims one of the kind it wants. */
  *release(): Task<Errno> {
    yield* this.mutex.lock();
    yield* this.evict();
    for (const chunk of this.#chunks) this.#spare.push(chunk.pagemap);
    this.#claimed -= this.#chunks.length;
    this.#chunks = [];
    this.mutex.unlock();
    return 0;
  }

  #chunkOf(pfn: Pfn): DevmemChunk {
    const chunk = this.#chunks.find((c) => c.pagemap.contains(pfn));
    if (chunk === undefined) throw new RangeError(`pfn ${pfn} is not memory of ${this.name}`);
    return chunk;
  }

  /** dmirror_allocate_chunk */
  #claim(order: 0 | 9): DevmemChunk | null {
    if (this.#claimed === this.#maxChunks) return null;
    const pagemap =
      this.#spare.pop() ??
      new DevPagemap(this.folios, {
        type: this.type,
        owner: this,
        pages: this.#chunkPages,
        ops: this.#ops(),
      });
    const chunk = new DevmemChunk(pagemap, order);
    this.#chunks.push(chunk);
    this.#claimed++;
    return chunk;
  }

  #ops(): DevPagemapOps {
    const { folios } = this;
    return {
      migrateToRam: (vmf) => devmemFault(this, vmf),
      folioFree: (head) => this.#chunkOf(head).give(head, folios.order(head)),
      folioSplit: (head, tail) => {
        if (tail !== null) folios.setZoneDeviceData(tail, folios.zoneDeviceData(head));
      },
    };
  }
}
