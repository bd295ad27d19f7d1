import { EFAULT, EINVAL, type Errno } from '@gpusvm/kernel';

const PAGE = 4096;
/** Where the first mapping goes; the next ones follow upwards with a guard page between. */
const FIRST = 0x10000000000;
const HUGE = 2 ** 21;

/** A mapping of the simulated process: its bytes outlive it for as long as something has them pinned. */
export class SimRegion {
  readonly start: number;
  readonly lengthBytes: number;
  readonly access: 'rw' | 'r' | 'none';
  /** The pages. The kernel's view: still there after munmap. */
  backing: Uint8Array;
  live = true;
  /** Others have the same pages. */
  readonly isShared: boolean;

  /** @param shared - the pages of a file; default: new ones. */
  constructor(start: number, lengthBytes: number, access: 'rw' | 'r' | 'none', shared?: Uint8Array) {
    this.start = start;
    this.lengthBytes = lengthBytes;
    this.access = access;
    this.backing = shared ?? new Uint8Array(lengthBytes);
    this.isShared = shared !== undefined;
  }
}

/** Virtual memory of the one simulated process. Addresses depend only on the order of the calls. */
export class SimAddressSpace {
  readonly #regions: SimRegion[] = [];
  #next = FIRST;

  /** mmap of anonymous memory, or of the pages of a file; large mappings are aligned to 2 MiB, as the kernel does for huge pages. */
  map(lengthBytes: number, access: 'rw' | 'r' | 'none', shared?: Uint8Array): SimRegion | Errno {
    if (!Number.isSafeInteger(lengthBytes) || lengthBytes <= 0) return -EINVAL;
    const length = Math.ceil(lengthBytes / PAGE) * PAGE;
    const align = length >= HUGE ? HUGE : PAGE;
    const start = Math.ceil(this.#next / align) * align;
    this.#next = start + length + PAGE;
    const region = new SimRegion(start, length, access, shared);
    this.#regions.push(region);
    return region;
  }

  /** Take a mapping away; the user's buffer detaches, the pages stay for whoever pinned them. */
  unmap(region: SimRegion): void {
    region.live = false;
    this.#regions.splice(this.#regions.indexOf(region), 1);
    if (region.isShared) return;
    // Moving the bytes into a buffer of the kernel's own is what detaches the user's.
    region.backing = new Uint8Array(
      structuredClone(region.backing.buffer as ArrayBuffer, {
        transfer: [region.backing.buffer as ArrayBuffer],
      }),
    );
  }

  /** The live mapping that holds all of a range; null when there is none. */
  find(address: number, lengthBytes: number): SimRegion | null {
    for (const region of this.#regions) {
      if (address >= region.start && address + lengthBytes <= region.start + region.lengthBytes)
        return region;
    }
    return null;
  }

  /** copy_to_user. */
  copyToUser(address: bigint, bytes: Uint8Array): Errno {
    const region = this.find(Number(address), bytes.length);
    if (region === null || region.access !== 'rw') return -EFAULT;
    region.backing.set(bytes, Number(address) - region.start);
    return 0;
  }

  /** copy_from_user. */
  copyFromUser(address: bigint, lengthBytes: number): Uint8Array | Errno {
    const region = this.find(Number(address), lengthBytes);
    if (region === null || region.access === 'none') return -EFAULT;
    const at = Number(address) - region.start;
    return region.backing.slice(at, at + lengthBytes);
  }
}
