import {
  ByteMemory,
  type CoherentBuffer,
  DmaDevice,
  DmaIovaState,
  type IommuMode,
  IOTLB_INVALIDATE,
  type IotlbInvalidateEvent,
  PagingDomain,
  type ScatterList,
  SWIOTLB_FULL,
} from '@gpusvm/dma-iova';
import { Machine, WARN } from '@gpusvm/kernel';
import { isWarning, kernelNote } from './kernel-log.ts';
import { ORACLE_MEMORY_BYTES, ORACLE_SLOTS, type OracleMode } from './program.ts';

/** Page-table formats that the oracle runs on. */
export type OracleBackend = 'vtd' | 'amdv1';

/** What differs between guests. */
export interface OracleModelOptions {
  readonly backend: OracleBackend;
  readonly mode: OracleMode;
  /** The IOMMU caches absent entries; default false. */
  readonly cachingMode?: boolean;
  /** The kernel was booted with iommu.forcedac=1; default false. */
  readonly forcedac?: boolean;
  /** Bounce pool of the kernel: 2 MiB (`swiotlb=1024,1`), with `forced` for every direct mapping; default none. */
  readonly swiotlb?: 'none' | 'there' | 'forced';
}

/** A slot of the module's mappings. */
export interface MappingSlot {
  mapped: boolean;
  addr: number;
  sg: ScatterList | null;
  /** Coherent memory, while it lives. */
  coherent: CoherentBuffer | null;
}

/** First page of the test memory: aligned to its size, as in the guest. */
const TEST_PFN = ORACLE_MEMORY_BYTES / 4096;
const BLOCK_ORDER = 10;
const POOL_PAGES = 512;
const FOUR_GIB = 2 ** 32;
/** Above all memory; what the padding of a scatter list maps behind the test memory stays below. */
const NAMED = 2 ** 37;

/** Windows of the q35 machine that the kernel reserves in every IOVA space (section 8, row 3). */
const WINDOWS = [
  [0xfee00000, 0xfeefffff],
  [0xa0000, 0xbffff],
  [0x40000000, 0xafffffff],
  [0xc0000000, 0xfebfffff],
  [0x100000000, 0x8ffffffff],
] as const;
const AMD_WINDOW = [0xfd00000000, 0xffffffffff] as const;

/** The oracle's device, memory and slots, in the model. */
export class OracleModel {
  readonly dev: DmaDevice;
  readonly memory: ByteMemory;
  readonly machine: Machine;
  readonly domain: PagingDomain | null;
  readonly states: { state: DmaIovaState; allocated: boolean }[] = [];
  readonly mappings: MappingSlot[] = [];
  readonly invalidations: IotlbInvalidateEvent[] = [];
  /** Ranges of IOVA pages that a call may have mapped, `[first, last]`. */
  readonly ranges: [number, number][] = [];
  readonly backend: OracleBackend;
  #warnings = 0;
  #notes: string[] = [];
  #prefers32Bit: boolean;
  /** When not 0: the allocation of a table that fails in the next map. */
  failNth = 0;

  constructor(o: OracleModelOptions) {
    this.machine = new Machine();
    this.memory = new ByteMemory(this.machine, { pages: 32768 });
    for (let pfn = TEST_PFN; pfn < 2 * TEST_PFN; pfn += 2 ** BLOCK_ORDER) {
      if (!this.memory.claimPages(pfn, BLOCK_ORDER))
        throw new Error(`page ${pfn} of the test memory is taken`);
    }
    this.backend = o.backend;
    this.machine.trace.on(WARN, ({ site, message }) => {
      if (isWarning(site)) this.#warnings++;
      const note = kernelNote(site, message, this);
      // What repeats is noted once, as in the module.
      if (this.#notes.at(-1) !== note) this.#notes.push(note);
    });
    this.machine.trace.on(SWIOTLB_FULL, ({ sizeBytes, totalSlots, usedSlots }) =>
      this.#notes.push(
        `"swiotlb buffer is full (sz: ${sizeBytes} bytes), total ${totalSlots} (slots), used ${usedSlots} (slots)"`,
      ),
    );
    this.machine.trace.on(IOTLB_INVALIDATE, (event) => this.invalidations.push(event));
    const pool = o.swiotlb ?? 'none';
    const windows = o.backend === 'amdv1' ? [...WINDOWS, AMD_WINDOW] : WINDOWS;
    this.dev = new DmaDevice(this.machine, this.memory, {
      name: 'oracle',
      iommu: iommuMode(o),
      untrusted: o.mode === 'untrusted',
      ...(pool === 'none' && o.mode !== 'untrusted'
        ? {}
        : { swiotlbPages: pool === 'none' ? 0 : POOL_PAGES }),
      dmaMaskBits: 40,
      ioPageTable: o.backend,
      reservedRegions: windows.map(([firstByte, lastByte]) => ({ firstByte, lastByte })),
      cachingMode: o.cachingMode ?? false,
      forcedac: o.forcedac ?? false,
    });
    this.#prefers32Bit = this.dev.prefers32Bit;
    this.domain = this.dev.domain instanceof PagingDomain ? this.dev.domain : null;
    for (let i = 0; i < ORACLE_SLOTS; i++) {
      this.states.push({ state: new DmaIovaState(), allocated: false });
      this.mappings.push(emptySlot());
    }
  }

  /**
   * What the kernel would have logged since the last time. That a device gives up addresses below 4 GiB comes first: no
   * call warns of anything before it looks for an address.
   */
  takeLog(): { warnings: number; notes: readonly string[] } {
    const taken = { warnings: this.#warnings, notes: this.#notes };
    if (this.#prefers32Bit && !this.dev.prefers32Bit) {
      taken.notes.unshift(`"Using ${Math.ceil(Math.log2(this.dev.limitPage + 1)) + 12}-bit DMA addresses"`);
    }
    this.#prefers32Bit = this.dev.prefers32Bit;
    this.#warnings = 0;
    this.#notes = [];
    return taken;
  }

  /** Physical address of a program's argument: an offset in the test memory, or an address. */
  phys(value: number): number {
    return value < ORACLE_MEMORY_BYTES ? TEST_PFN * 4096 + value : value;
  }

  /** Run a map with the failure that `fail` has asked for: of table pages, the only pages that a map takes in the kernel. */
  withFailure(map: () => number): number {
    const { faultInjection } = this.machine;
    if (this.failNth !== 0) faultInjection.failNth('iommu.alloc_table', this.failNth);
    this.failNth = 0;
    const err = map();
    faultInjection.reset();
    return err;
  }

  /** Remember what a call may have mapped, for the dump. */
  noteRange(firstByte: number, sizeBytes: number): void {
    this.ranges.push([
      Math.floor(firstByte / 4096),
      Math.floor((firstByte + Math.max(sizeBytes, 1) - 1) / 4096),
    ]);
  }

  /** Physical address behind an IOVA; 0 = none. */
  translate(iovaBytes: number): number {
    if (this.domain === null) return 0;
    const pfn = this.domain.translate(Math.floor(iovaBytes / 4096));
    return pfn < 0 ? 0 : pfn * 4096 + (iovaBytes % 4096);
  }

  /**
   * Whose memory a translation leads to: the bounce `pool`, the `test` memory, the coherent memory of a slot (its number) at the place
   * that its address says, an address that the program `named`, or nobody's: memory that was coherent once.
   */
  ownerOf(iova: number, phys: number): number | 'pool' | 'test' | 'named' | 'nobody' {
    if (phys >= NAMED) return 'named';
    if (this.#inPool(phys) >= 0) return 'pool';
    const offset = phys - TEST_PFN * 4096;
    if ((offset >= 0 && offset < ORACLE_MEMORY_BYTES) || phys >= FOUR_GIB) return 'test';
    const slot = this.mappings.findIndex(({ coherent }) => {
      const inSlot = coherent === null ? -1 : iova - coherent.dmaAddrBytes;
      return inSlot >= 0 && inSlot < coherent!.pages * 4096 && phys - coherent!.pfn(0) * 4096 === inSlot;
    });
    return slot < 0 ? 'nobody' : slot;
  }

  /** What an IOVA translates to, as transcripts write it: where memory is differs between machines. */
  namePhys(iova: number, phys: number): string {
    const owner = this.ownerOf(iova, phys);
    if (owner === 'pool') return `b${hex(this.#inPool(phys))}`;
    if (owner === 'test') return `p${hex(phys - TEST_PFN * 4096)}`;
    if (owner === 'named') return hex(phys);
    if (owner === 'nobody') return 'x';
    return `c${hex(owner)}+${hex(phys - this.mappings[owner]!.coherent!.pfn(0) * 4096)}`;
  }

  /** A range without bytes that would be bounced: the kernel stops at that (BUG_ON), so the module skips the call. */
  isUnbounceable(size: number): boolean {
    return size === 0 && this.dev.swiotlb?.active === true && (this.domain === null || this.dev.untrusted);
  }

  /** Test memory or bounce pool: what programs may touch. */
  isProgramMemory(phys: number): boolean {
    const offset = phys - TEST_PFN * 4096;
    return (offset >= 0 && offset < ORACLE_MEMORY_BYTES) || this.#inPool(phys) >= 0;
  }

  #inPool(phys: number): number {
    return this.dev.swiotlb?.offsetOf(phys) ?? -1;
  }

  /** A DMA address as transcripts write it. */
  nameAddress(addr: number): string {
    return this.domain === null ? this.namePhys(addr, addr) : hex(addr);
  }

  /** The slot for a new mapping, emptied; null while it holds coherent memory. */
  claim(number: number): MappingSlot | null {
    const index = number % ORACLE_SLOTS;
    if (this.mappings[index]!.coherent !== null) return null;
    this.mappings[index] = emptySlot();
    return this.mappings[index];
  }
}

function iommuMode({ mode, swiotlb }: OracleModelOptions): IommuMode {
  if (mode === 'identity') return swiotlb === 'forced' ? 'swiotlb' : 'none';
  return mode === 'untrusted' ? 'strict' : mode;
}

function emptySlot(): MappingSlot {
  return { mapped: false, addr: 0, sg: null, coherent: null };
}

/** Hexadecimal without prefix, as everywhere in programs and transcripts. */
export function hex(n: number): string {
  return n === Number.POSITIVE_INFINITY ? 'ffffffffffffffff' : n.toString(16);
}
