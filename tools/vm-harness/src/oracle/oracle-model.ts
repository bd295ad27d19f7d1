import {
  type CoherentBuffer,
  DmaDevice,
  DmaIovaState,
  IOTLB_INVALIDATE,
  type IotlbInvalidateEvent,
  PagingDomain,
  type ScatterList,
  TagMemory,
} from '@gpusvm/dma-iova';
import { Machine, WARN } from '@gpusvm/kernel';
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
  /** Timers run at the wait, and not with the next call: for programs whose calls are told apart; default false. */
  readonly timersAtWait?: boolean;
}

/** A slot of the module's mappings. */
export interface MappingSlot {
  mapped: boolean;
  addr: number;
  sg: ScatterList | null;
  /** Coherent memory, also after its end: an address in it keeps its name. */
  coherent: CoherentBuffer | null;
  isCoherentLive: boolean;
}

/** First page of the test memory: aligned to its size, as in the guest. */
const TEST_PFN = ORACLE_MEMORY_BYTES / 4096;
const BLOCK_ORDER = 10;

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
  readonly memory: TagMemory;
  readonly machine: Machine;
  readonly domain: PagingDomain | null;
  readonly states: { state: DmaIovaState; allocated: boolean }[] = [];
  readonly mappings: MappingSlot[] = [];
  readonly invalidations: IotlbInvalidateEvent[] = [];
  /** Ranges of IOVA pages that a call may have mapped, `[first, last]`. */
  readonly ranges: [number, number][] = [];
  warnings = 0;
  readonly timersAtWait: boolean;

  constructor(o: OracleModelOptions) {
    this.timersAtWait = o.timersAtWait ?? false;
    this.machine = new Machine();
    this.memory = new TagMemory(this.machine, { pages: 32768 });
    for (let pfn = TEST_PFN; pfn < 2 * TEST_PFN; pfn += 2 ** BLOCK_ORDER) {
      if (!this.memory.claimPages(pfn, BLOCK_ORDER))
        throw new Error(`page ${pfn} of the test memory is taken`);
    }
    this.machine.trace.on(WARN, () => {
      this.warnings++;
    });
    this.machine.trace.on(IOTLB_INVALIDATE, (event) => this.invalidations.push(event));
    const windows = o.backend === 'amdv1' ? [...WINDOWS, AMD_WINDOW] : WINDOWS;
    this.dev = new DmaDevice(this.machine, this.memory, {
      name: 'oracle',
      iommu: o.mode === 'identity' ? 'none' : o.mode,
      dmaMaskBits: 40,
      ioPageTable: o.backend,
      reservedRegions: windows.map(([firstByte, lastByte]) => ({ firstByte, lastByte })),
      cachingMode: o.cachingMode ?? false,
      forcedac: o.forcedac ?? false,
    });
    this.domain = this.dev.domain instanceof PagingDomain ? this.dev.domain : null;
    for (let i = 0; i < ORACLE_SLOTS; i++) {
      this.states.push({ state: new DmaIovaState(), allocated: false });
      this.mappings.push(emptySlot());
    }
  }

  /** Physical address of a program's argument: an offset in the test memory, or an address. */
  phys(value: number): number {
    return value < ORACLE_MEMORY_BYTES ? TEST_PFN * 4096 + value : value;
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

  /** Whose memory it is: `test` memory, coherent memory of a slot (its number), or `other`. */
  ownerOf(phys: number): number | 'test' | 'other' {
    const offset = phys - TEST_PFN * 4096;
    if (offset >= 0 && offset < ORACLE_MEMORY_BYTES) return 'test';
    const slot = this.mappings.findIndex(({ coherent }) => {
      const inSlot = coherent === null ? -1 : phys - coherent.pfn(0) * 4096;
      return inSlot >= 0 && inSlot < coherent!.pages * 4096;
    });
    return slot < 0 ? 'other' : slot;
  }

  /** A physical address as transcripts write it: where the test memory is differs between machines. */
  namePhys(phys: number): string {
    const owner = this.ownerOf(phys);
    if (owner === 'test') return `p${hex(phys - TEST_PFN * 4096)}`;
    if (owner === 'other') return hex(phys);
    return `c${hex(owner)}+${hex(phys - this.mappings[owner]!.coherent!.pfn(0) * 4096)}`;
  }

  /** A DMA address as transcripts write it. */
  nameAddress(addr: number): string {
    return this.domain === null ? this.namePhys(addr) : hex(addr);
  }

  /** The slot for a new mapping, emptied; null while it holds coherent memory. */
  claim(number: number): MappingSlot | null {
    const index = number % ORACLE_SLOTS;
    if (this.mappings[index]!.isCoherentLive) return null;
    this.mappings[index] = emptySlot();
    return this.mappings[index];
  }
}

function emptySlot(): MappingSlot {
  return { mapped: false, addr: 0, sg: null, coherent: null, isCoherentLive: false };
}

/** Hexadecimal without prefix, as everywhere in programs and transcripts. */
export function hex(n: number): string {
  return n === Number.POSITIVE_INFINITY ? 'ffffffffffffffff' : n.toString(16);
}
