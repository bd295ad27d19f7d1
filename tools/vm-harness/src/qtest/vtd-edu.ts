import { QtestMachine } from './qtest-machine.ts';

/** Registers of the VT-d ("VT-d Architecture Specification" 11.4), from its base. */
const VTD_BASE = 0xfed90000;
const GCMD = 0x18;
const GSTS = 0x1c;
const RTADDR = 0x20;
const FSTS = 0x34;
const FRCD = 0x220;
const IVA = 0xf0;
const IOTLB = 0xf8;
const SET_ROOT_TABLE = 0x40000000;
const TRANSLATION_ENABLE = 0x80000000;
const INVALIDATE = 1n << 63n;
const DOMAIN_SELECTIVE = 2n << 60n;
const PAGE_SELECTIVE = 3n << 60n;
/** Write 1 to clear: the valid bit of a fault record, and all of the fault status. */
const RECORD_VALID = 0x80000000;
const STATUS_BITS = 0x7f;

const DOMAIN_ID = 7n;
const LEVELS_4 = 2n;
const EDU_DEVFN = 4 << 3;
const EDU_BAR = 0xe0000000;
/** Registers of QEMU's edu device (docs/specs/edu): a DMA engine with a buffer of 4 KiB. */
const DMA_SOURCE = 0x80;
const DMA_TARGET = 0x88;
const DMA_LENGTH = 0x90;
const DMA_COMMAND = 0x98;
const EDU_BUFFER = 0x40000;
const START_TO_BUFFER = 1;
const START_TO_MEMORY = 3;
const RUNNING = 1n;
const MAX_POLLS = 100_000;

/** Where the root table and the context table are; page tables may use the memory from TABLES_BYTES on. */
const ROOT_TABLE = 0x1000000;
const CONTEXT_TABLE = ROOT_TABLE + 0x1000;
/** First byte of the memory for page tables: the first table is the domain's root. */
export const TABLES_BYTES: number = ROOT_TABLE + 0x2000;

/** A fault that the VT-d recorded. */
export interface VtdFault {
  /** 5: write not permitted, or not present; 6: read not permitted, or not present. */
  readonly reason: number;
  readonly access: 'read' | 'write';
  readonly iovaBytes: number;
}

/** QEMU's edu device behind its VT-d, with no software: page tables come from us, byte by byte. */
export class VtdEdu {
  readonly machine: QtestMachine;
  readonly #images: Uint8Array[] = [];

  private constructor(machine: QtestMachine) {
    this.machine = machine;
  }

  /** Start QEMU, give the device its address, and turn translation on with an empty table. */
  static async start(): Promise<VtdEdu> {
    const machine = new QtestMachine([
      'intel-iommu,intremap=off,aw-bits=48',
      'edu,addr=4.0,dma_mask=0xffffffffffff',
    ]);
    const vtd = new VtdEdu(machine);
    await machine.writeConfig(EDU_DEVFN, 0x10, EDU_BAR);
    await machine.writeConfig(EDU_DEVFN, 4, 6);
    await machine.write(8, ROOT_TABLE, BigInt(CONTEXT_TABLE) | 1n);
    await machine.write(8, CONTEXT_TABLE + EDU_DEVFN * 16, BigInt(TABLES_BYTES) | 1n);
    await machine.write(8, CONTEXT_TABLE + EDU_DEVFN * 16 + 8, LEVELS_4 | (DOMAIN_ID << 8n));
    await machine.write(8, VTD_BASE + RTADDR, ROOT_TABLE);
    await machine.write(4, VTD_BASE + GCMD, SET_ROOT_TABLE);
    await machine.write(4, VTD_BASE + GCMD, TRANSLATION_ENABLE);
    const status = await machine.read(4, VTD_BASE + GSTS);
    if ((Number(status) & 0x80000000) === 0) throw new Error(`VT-d: translation is not on (GSTS ${status})`);
    return vtd;
  }

  /** Put page-table images into memory, the n-th at {@link TABLES_BYTES} + n pages; unchanged ones are not written. */
  async writeTables(images: readonly Uint8Array[]): Promise<void> {
    for (const [i, image] of images.entries()) {
      const old = this.#images[i];
      if (old !== undefined && Buffer.compare(old, image) === 0) continue;
      await this.machine.writeBytes(TABLES_BYTES + i * 4096, image);
      this.#images[i] = image;
    }
  }

  /** Invalidate a block of `2^order` pages, or with -1 the whole domain. */
  async invalidate(iovaBytes: number, order: number): Promise<void> {
    const { machine } = this;
    if (order >= 0) await machine.write(8, VTD_BASE + IVA, BigInt(iovaBytes) | BigInt(order));
    const granularity = order < 0 ? DOMAIN_SELECTIVE : PAGE_SELECTIVE;
    await machine.write(8, VTD_BASE + IOTLB, INVALIDATE | granularity | (DOMAIN_ID << 32n));
  }

  /** The device reads from an IOVA into its buffer; the fault, or null. */
  async deviceRead(iovaBytes: number, length: number): Promise<VtdFault | null> {
    await this.#dma(iovaBytes, EDU_BUFFER, length, START_TO_BUFFER);
    return this.#takeFault();
  }

  /** The device writes its buffer to an IOVA; the fault, or null. */
  async deviceWrite(iovaBytes: number, length: number): Promise<VtdFault | null> {
    await this.#dma(EDU_BUFFER, iovaBytes, length, START_TO_MEMORY);
    return this.#takeFault();
  }

  close(): Promise<void> {
    return this.machine.close();
  }

  async #dma(source: number, target: number, length: number, command: number): Promise<void> {
    const { machine } = this;
    await machine.write(8, EDU_BAR + DMA_SOURCE, source);
    await machine.write(8, EDU_BAR + DMA_TARGET, target);
    await machine.write(8, EDU_BAR + DMA_LENGTH, length);
    await machine.write(8, EDU_BAR + DMA_COMMAND, command);
    for (let poll = 0; poll < MAX_POLLS; poll++) {
      if (((await machine.read(8, EDU_BAR + DMA_COMMAND)) & RUNNING) === 0n) return;
    }
    throw new Error(`the edu device did not end a DMA of ${length} bytes from ${source} to ${target}`);
  }

  /** The first fault record, if it is valid; cleared. */
  async #takeFault(): Promise<VtdFault | null> {
    const { machine } = this;
    const high = await machine.read(8, VTD_BASE + FRCD + 8);
    if (high >> 63n === 0n) return null;
    const low = await machine.read(8, VTD_BASE + FRCD);
    await machine.write(4, VTD_BASE + FRCD + 12, RECORD_VALID);
    await machine.write(4, VTD_BASE + FSTS, STATUS_BITS);
    return {
      reason: Number((high >> 32n) & 0xffn),
      access: ((high >> 62n) & 1n) === 1n ? 'read' : 'write',
      iovaBytes: Number(low & ~0xfffn),
    };
  }
}
