import { Machine, WARN, type WarnEvent } from '@gpusvm/kernel';
import {
  DMA_BIDIRECTIONAL,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  IOTLB_INVALIDATE,
  type IotlbInvalidateEvent,
  type PagingDomain,
  TagMemory,
} from '../../src/index.ts';

export type Backend = 'vtd' | 'amdv1';
export const PAGE = 4096;

const WINDOWS = [
  [0xfee00000, 0xfeefffff],
  [0xa0000, 0xbffff],
  [0x40000000, 0xafffffff],
  [0xc0000000, 0xfebfffff],
  [0x100000000, 0x8ffffffff],
] as const;

/** The machine of section 8: a PCI function with a 40-bit mask, its reserved windows, 4M aligned test memory. */
export class Golden {
  readonly backend: Backend;
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly dev: DmaDevice;
  /** First of 2048 contiguous 4 MiB aligned pages. */
  readonly pfn: number;
  readonly warnings: WarnEvent[] = [];
  readonly invalidations: IotlbInvalidateEvent[] = [];

  constructor(backend: Backend, options: Partial<DmaDeviceOptions> = {}) {
    this.backend = backend;
    this.machine = new Machine();
    this.memory = new TagMemory(this.machine, { pages: 8192 });
    this.machine.trace.on(WARN, (event) => this.warnings.push(event));
    this.machine.trace.on(IOTLB_INVALIDATE, (event) => this.invalidations.push(event));
    const windows = WINDOWS.map(([firstByte, lastByte]) => ({ firstByte, lastByte }));
    if (backend === 'amdv1') windows.push({ firstByte: 0xfd00000000, lastByte: 0xffffffffff } as never);
    this.dev = new DmaDevice(this.machine, this.memory, {
      name: 'golden',
      iommu: 'strict',
      dmaMaskBits: 40,
      ioPageTable: backend,
      reservedRegions: windows,
      ...options,
    });
    this.pfn = 2048;
    if (!this.memory.claimPages(2048, 10) || !this.memory.claimPages(3072, 10))
      throw new Error('test memory');
  }

  get amd(): boolean {
    return this.backend === 'amdv1';
  }

  get domain(): PagingDomain {
    return this.dev.domain as PagingDomain;
  }

  /** Reserve; the physical hint gives only the page offset. */
  alloc(bytes: number, phys = 0): DmaIovaState {
    const state = new DmaIovaState();
    if (!dmaIovaTryAlloc(this.dev, state, phys, bytes)) throw new Error(`no IOVA for ${bytes} bytes`);
    return state;
  }

  pages(n: number): DmaIovaState {
    return this.alloc(n * PAGE);
  }

  /** Link `n` pages at a slot to the test memory's pages from `slot` (or `at`) on. */
  link(state: DmaIovaState, slot: number, n = 1, at: number = slot): number {
    const phys = (this.pfn + at) * PAGE;
    return dmaIovaLink(this.dev, state, phys, slot * PAGE, n * PAGE, DMA_BIDIRECTIONAL, 0);
  }

  unlink(state: DmaIovaState, slot: number, n = 1): void {
    dmaIovaUnlink(this.dev, state, slot * PAGE, n * PAGE, DMA_BIDIRECTIONAL, 0);
  }

  free(state: DmaIovaState): void {
    dmaIovaFree(this.dev, state);
  }

  /** Slots of the first `n` that translate. */
  mapped(state: DmaIovaState, n: number): number[] {
    const base = Math.floor(state.addr / PAGE);
    const slots = Array.from({ length: n }, (_, slot) => slot);
    return slots.filter((slot) => this.domain.translate(base + slot) >= 0);
  }

  /** iova_to_phys with the offset in the page; 0 = none. */
  iovaToPhys(addr: number): number {
    const pfn = this.domain.translate(Math.floor(addr / PAGE));
    return pfn < 0 ? 0 : pfn * PAGE + (addr & 4095);
  }

  /** Kernel warnings since the last call. */
  warned(): number {
    return this.warnings.splice(0).length;
  }

  /** Invalidations since the last call, as orders; -1 is a domain flush. */
  invalidated(): number[] {
    return this.invalidations.splice(0).map((event) => event.order);
  }

  /** Page-table pages in use below the root. */
  get tables(): number {
    return this.domain.tables;
  }
}

/** Notes what a row found and what section 8 says; the test compares them all at once. */
export type Same = (actual: unknown, expected: unknown) => void;

/** One row of section 8. */
export interface Row {
  readonly no: number;
  readonly topic: string;
  readonly title: string;
  readonly run: (backend: Backend, same: Same) => void;
}

/** Hexadecimal without prefix, as section 8 prints addresses. */
export function hex(n: number): string {
  return n.toString(16);
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
