import { EFAULT, EINVAL, ENOMEM, type Errno } from '@gpusvm/kernel';
import type { SimAddressSpace, SimRegion } from './address-space.ts';

const PAGE = 4096;
const PAGE_BYTES = BigInt(PAGE);

/** RLIMIT_MEMLOCK of the simulated user: pages pinned by everybody together (account mode USER). */
export class SimMemlock {
  /** Infinity for a process with CAP_IPC_LOCK. */
  readonly limitPages: number;
  lockedPages = 0;

  constructor(limitBytes: number) {
    this.limitPages = Math.floor(limitBytes / PAGE);
  }
}

/**
 * A piece of user memory that mappings refer to (struct iopt_pages): one map call makes one, copies share it. Its
 * pages are pinned while a domain or an access holds them, and keep their contents although the process unmaps
 * them meanwhile; nothing is pinned before.
 */
export class SimPages {
  /** Page-aligned address of the first page. Nobody looks whether there is memory before it is pinned. */
  readonly start: bigint;
  readonly pages: number;
  /** Made by a map that lets devices write: a copy may not ask for more. */
  readonly writable: boolean;
  readonly #space: SimAddressSpace;
  readonly #memlock: SimMemlock;
  /** Holders by page, of pages that have any: a piece of memory may promise more than any machine has. */
  readonly #pins = new Map<number, number>();
  /** Pages of a file, at file offsets; `memory` is null for a file that is not in memory. Null: memory of the process. */
  readonly #file: { readonly memory: SimRegion | null } | null;
  /** Where the pages were when they were pinned; null before. */
  #region: SimRegion | null = null;

  constructor(
    space: SimAddressSpace,
    memlock: SimMemlock,
    address: bigint,
    lengthBytes: bigint,
    writable: boolean,
    file: { readonly memory: SimRegion | null } | null = null,
  ) {
    this.#file = file;
    this.start = address - (address % PAGE_BYTES);
    this.pages = Number((address - this.start + lengthBytes + PAGE_BYTES - 1n) / PAGE_BYTES);
    this.writable = writable;
    this.#space = space;
    this.#memlock = memlock;
  }

  /**
   * Pin pages `[first, end)` once more.
   *
   * @returns 0; -EFAULT when the process has no such memory, or not with these rights; -EINVAL beyond the end of a file;
   *   -ENOMEM at the memlock limit.
   */
  pin(first: number, end: number): Errno {
    const size = this.#pins.size;
    if (!this.#isHeld(first, end) && !this.#resolve(first, end)) return this.isFile ? -EINVAL : -EFAULT;
    for (let i = first; i < end; i++) this.#pins.set(i, (this.#pins.get(i) ?? 0) + 1);
    const fresh = this.#pins.size - size;
    this.#memlock.lockedPages += fresh;
    if (fresh === 0 || this.#memlock.lockedPages <= this.#memlock.limitPages) return 0;
    this.unpin(first, end);
    return -ENOMEM;
  }

  get isFile(): boolean {
    return this.#file !== null;
  }

  unpin(first: number, end: number): void {
    for (let i = first; i < end; i++) {
      const left = this.#pins.get(i)! - 1;
      if (left > 0) {
        this.#pins.set(i, left);
      } else {
        this.#pins.delete(i);
        this.#memlock.lockedPages--;
      }
    }
  }

  isPinned(page: number): boolean {
    return this.#pins.has(page);
  }

  /** Where a pinned byte is. */
  locate(byteOffset: number): { readonly region: SimRegion; readonly at: number } {
    const region = this.#region!;
    return { region, at: Number(this.start) + byteOffset - region.start };
  }

  #isHeld(first: number, end: number): boolean {
    for (let i = first; i < end; i++) if (!this.#pins.has(i)) return false;
    return true;
  }

  /** Find the memory of those pages that are not pinned yet. */
  #resolve(first: number, end: number): boolean {
    if (this.#file !== null) {
      const { memory } = this.#file;
      this.#region = memory;
      return memory !== null && Number(this.start) + end * PAGE <= memory.lengthBytes;
    }
    const region = this.#space.find(Number(this.start) + first * PAGE, (end - first) * PAGE);
    if (region === null || region.access === 'none') return false;
    if (this.writable && region.access !== 'rw') return false;
    this.#region = region;
    return true;
  }
}
