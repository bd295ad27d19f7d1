import type { Machine, Pfn } from '@gpusvm/kernel';
import { DramView } from './dram-view.ts';
import { PageBlocks } from './page-blocks.ts';
import type { PhysicalMemory } from './physical-memory.ts';

const PAGE = 4096;

/**
 * Memory with real bytes, for cases where the part of a page matters: bounced heads and tails, exposed padding.
 *
 * A page's tag is the little-endian double in its first eight bytes (0 when that is not a finite number that is
 * not negative), so tag writers and byte readers see the same page. Pages get their 4 KiB when first written.
 */
export class ByteMemory implements PhysicalMemory {
  readonly totalPages: number;
  readonly unitBytes = 1;
  readonly dram: DramView = new DramView(this);
  readonly #blocks: PageBlocks;
  readonly #pages = new Map<Pfn, Uint8Array>();

  /**
   * @param machine - owner; fault site `memory.alloc_pages`, ledger kind `physical page`.
   * @param o - `pages`: size; page 0 is never handed out.
   */
  constructor(machine: Machine, o: { readonly pages: number }) {
    this.#blocks = new PageBlocks(machine, o.pages);
    this.totalPages = o.pages;
  }

  get freePages(): number {
    return this.#blocks.freePages;
  }

  allocPages(order: number): Pfn {
    const pfn = this.#blocks.alloc(order);
    if (pfn >= 0) this.#clear(pfn, order);
    return pfn;
  }

  freePagesBlock(pfn: Pfn, order: number): void {
    this.#blocks.free(pfn, order);
  }

  forEachFree(visit: (firstPfn: Pfn, pages: number) => void): void {
    this.#blocks.forEachFree(visit);
  }

  claimPages(pfn: Pfn, order: number): boolean {
    if (!this.#blocks.claim(pfn, order)) return false;
    this.#clear(pfn, order);
    return true;
  }

  readTag(pfn: Pfn): number {
    const page = this.#peek(pfn);
    if (page === undefined) return 0;
    const tag = new DataView(page.buffer).getFloat64(0, true);
    return Number.isFinite(tag) && tag > 0 ? tag : 0;
  }

  writeTag(pfn: Pfn, tag: number): void {
    new DataView(this.#poke(pfn).buffer).setFloat64(0, tag, true);
  }

  copy(toBytes: number, fromBytes: number, lengthBytes: number): void {
    this.write(toBytes, this.read(fromBytes, lengthBytes));
  }

  zero(physBytes: number, lengthBytes: number): void {
    this.write(physBytes, new Uint8Array(lengthBytes));
  }

  /** The bytes at a physical address. Across pages. */
  read(physBytes: number, lengthBytes: number): Uint8Array {
    const out = new Uint8Array(lengthBytes);
    for (let done = 0; done < lengthBytes; ) {
      const at = physBytes + done;
      const offset = at & (PAGE - 1);
      const n = Math.min(PAGE - offset, lengthBytes - done);
      const page = this.#peek(Math.floor(at / PAGE));
      if (page !== undefined) out.set(page.subarray(offset, offset + n), done);
      done += n;
    }
    return out;
  }

  /** Store bytes at a physical address. Across pages. */
  write(physBytes: number, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const at = physBytes + done;
      const offset = at & (PAGE - 1);
      const n = Math.min(PAGE - offset, data.length - done);
      this.#poke(Math.floor(at / PAGE)).set(data.subarray(done, done + n), offset);
      done += n;
    }
  }

  #peek(pfn: Pfn): Uint8Array | undefined {
    if (!(pfn >= 0 && pfn < this.totalPages))
      throw new RangeError(`pfn ${pfn} is outside of [1, ${this.totalPages})`);
    return this.#pages.get(pfn);
  }

  #poke(pfn: Pfn): Uint8Array {
    let page = this.#peek(pfn);
    if (page === undefined) {
      page = new Uint8Array(PAGE);
      this.#pages.set(pfn, page);
    }
    return page;
  }

  #clear(pfn: Pfn, order: number): void {
    for (let i = 0; i < 1 << order; i++) this.#pages.delete(pfn + i);
  }
}
