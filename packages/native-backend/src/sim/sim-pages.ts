import { EFAULT, EINVAL, ENOMEM, type Errno } from '@gpusvm/kernel';
import type { SimAddressSpace, SimRegion } from './address-space.ts';

const PAGE = 4096;

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
  /** Page-aligned address of the first page. */
  readonly start: number;
  readonly pages: number;
  /** Made by a map that lets devices write: a copy may not ask for more. */
  readonly writable: boolean;
  readonly #space: SimAddressSpace;
  readonly #memlock: SimMemlock;
  /** Holders by page. */
  readonly #pins: Uint16Array;
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
    const from = Number(address);
    this.start = Math.floor(from / PAGE) * PAGE;
    this.pages = Math.ceil((from - this.start + Number(lengthBytes)) / PAGE);
    this.writable = writable;
    this.#space = space;
    this.#memlock = memlock;
    this.#pins = new Uint16Array(this.pages);
  }

  /**
   * Pin pages `[first, end)` once more.
   *
   * @returns 0; -EFAULT when the process has no such memory, or not with these rights; -EINVAL beyond the end of a file;
   *   -ENOMEM at the memlock limit.
   */
  pin(first: number, end: number): Errno {
    let fresh = 0;
    for (let i = first; i < end; i++) if (this.#pins[i] === 0) fresh++;
    if (fresh > 0 && !this.#resolve(first, end)) return this.isFile ? -EINVAL : -EFAULT;
    if (this.#memlock.lockedPages + fresh > this.#memlock.limitPages) return -ENOMEM;
    this.#memlock.lockedPages += fresh;
    for (let i = first; i < end; i++) this.#pins[i]!++;
    return 0;
  }

  get isFile(): boolean {
    return this.#file !== null;
  }

  unpin(first: number, end: number): void {
    for (let i = first; i < end; i++) {
      if (--this.#pins[i]! === 0) this.#memlock.lockedPages--;
    }
  }

  /** Holders of a page, as GUP_PIN_COUNTING_BIAS shows them; 0 = not pinned. */
  isPinned(page: number): boolean {
    return this.#pins[page]! > 0;
  }

  /** Where a pinned byte is. */
  locate(byteOffset: number): { readonly region: SimRegion; readonly at: number } {
    const region = this.#region!;
    return { region, at: this.start + byteOffset - region.start };
  }

  /** Find the memory of those pages that are not pinned yet. */
  #resolve(first: number, end: number): boolean {
    if (this.#file !== null) {
      const { memory } = this.#file;
      this.#region = memory;
      return memory !== null && this.start + end * PAGE <= memory.lengthBytes;
    }
    const region = this.#space.find(this.start + first * PAGE, (end - first) * PAGE);
    if (region === null || region.access === 'none') return false;
    if (this.writable && region.access !== 'rw') return false;
    this.#region = region;
    return true;
  }
}
