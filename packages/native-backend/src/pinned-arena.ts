import { PageBlocks, type PhysicalMemory } from '@gpusvm/dma-iova';
import { EBUSY, type Machine, type Pfn } from '@gpusvm/kernel';
import { KernelError } from './kernel-error.ts';
import type { Sys, SysMemory } from './sys.ts';

const PAGE = 4096;
const HUGE = 2 ** 21;

/**
 * Physical memory for the DMA layer that a real device can reach: one mapping outside of the JavaScript heap, at an
 * address aligned to 2 MiB and with huge pages where the kernel gives them, so that large IOMMU entries are possible.
 * A page-frame number is an index into it. Memory is pinned by the IOAS that maps it, while a device is attached.
 *
 * A page's tag is the little-endian double in its first eight bytes, as in `ByteMemory`, so devices that write bytes
 * and code that reads tags see the same page.
 */
export class PinnedArena implements PhysicalMemory, Disposable {
  readonly totalPages: number;
  readonly unitBytes = 1;
  readonly memory: SysMemory;
  readonly #blocks: PageBlocks;
  readonly #offset: number;
  readonly #view: DataView;

  /**
   * @param machine - owner; fault site `memory.alloc_pages`, ledger kind `physical page`.
   * @param o - `pages`: size; page 0 is never handed out. `hugePages`: ask for them, or for none; default true.
   * @throws KernelError `mmap` ENOMEM.
   */
  constructor(machine: Machine, sys: Sys, o: { readonly pages: number; readonly hugePages?: boolean }) {
    this.#blocks = new PageBlocks(machine, o.pages);
    this.totalPages = o.pages;
    const lengthBytes = o.pages * PAGE + HUGE;
    const memory = sys.mmap({ lengthBytes });
    if (typeof memory === 'number') throw new KernelError('mmap', memory, { lengthBytes });
    this.memory = memory;
    this.#offset = Number((BigInt(HUGE) - (memory.address % BigInt(HUGE))) % BigInt(HUGE));
    // A kernel without transparent huge pages refuses the advice; everything works with small ones too.
    memory.adviseHuge(o.hugePages ?? true);
    this.#view = new DataView(memory.bytes.buffer, this.#offset, o.pages * PAGE);
  }

  get freePages(): number {
    return this.#blocks.freePages;
  }

  allocPages(order: number): Pfn {
    const pfn = this.#blocks.alloc(order);
    if (pfn >= 0) this.bytes(pfn, 1 << order).fill(0);
    return pfn;
  }

  freePagesBlock(pfn: Pfn, order: number): void {
    this.#blocks.free(pfn, order);
  }

  claimPages(pfn: Pfn, order: number): boolean {
    if (!this.#blocks.claim(pfn, order)) return false;
    this.bytes(pfn, 1 << order).fill(0);
    return true;
  }

  readTag(pfn: Pfn): number {
    const tag = this.#view.getFloat64(this.#at(pfn, 1), true);
    return Number.isFinite(tag) && tag > 0 ? tag : 0;
  }

  writeTag(pfn: Pfn, tag: number): void {
    this.#view.setFloat64(this.#at(pfn, 1), tag, true);
  }

  copy(toBytes: number, fromBytes: number, lengthBytes: number): void {
    const end = this.totalPages * PAGE;
    if (toBytes + lengthBytes > end || fromBytes + lengthBytes > end)
      throw new RangeError(`copy of ${lengthBytes} bytes beyond the arena of ${end} bytes`);
    const all = this.bytes(0, this.totalPages);
    all.copyWithin(toBytes, fromBytes, fromBytes + lengthBytes);
  }

  zero(physBytes: number, lengthBytes: number): void {
    const end = this.totalPages * PAGE;
    if (physBytes < 0 || physBytes + lengthBytes > end)
      throw new RangeError(`zeroing of ${lengthBytes} bytes beyond the arena of ${end} bytes`);
    this.bytes(0, this.totalPages).fill(0, physBytes, physBytes + lengthBytes);
  }

  /** The bytes of pages, live: what the device writes is seen here. */
  bytes(pfn: Pfn, pages: number): Uint8Array {
    const at = this.#at(pfn, pages);
    return new Uint8Array(this.#view.buffer, this.#offset + at, pages * PAGE);
  }

  /** Offset of a page in {@link memory}, for mapping it. */
  offsetOf(pfn: Pfn): number {
    return this.#offset + this.#at(pfn, 1);
  }

  /** Give the memory back. Unmap it from every IOAS first: what is mapped stays pinned. */
  [Symbol.dispose](): void {
    if (this.memory.address === 0n) return;
    const err = this.memory.unmap();
    if (err === -EBUSY) throw new KernelError('munmap', err, { pages: this.totalPages });
  }

  #at(pfn: Pfn, pages: number): number {
    if (!(pfn >= 0 && pfn + pages <= this.totalPages))
      throw new RangeError(`pages [${pfn}, +${pages}) are outside of the arena of ${this.totalPages}`);
    return pfn * PAGE;
  }
}
