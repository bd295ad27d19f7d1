import type { Sys, SysMemory } from '../sys.ts';
import type { VfioDevice } from '../vfio-device.ts';
import type { DmaEngine, EngineWindow } from './dma-engine.ts';
import { NvmeQueue } from './nvme-queue.ts';
import * as spec from './nvme-spec.ts';
import { prpsOf } from './prp.ts';

export const NVME_VENDOR: 0x1b36 = 0x1b36;
export const NVME_DEVICE: 0x0010 = 0x0010;

const PAGE = 4096;
const ENTRIES = 16;
/** Pages of the window: admin rings, I/O rings, PRP list, then data. */
const ADMIN_SQ = 0;
const ADMIN_CQ = 1;
const IO_SQ = 2;
const IO_CQ = 3;
const PRP_LIST = 4;
const DATA = 5;
/** Data pages behind the rings. */
const DATA_PAGES = 16;
const TIMEOUT_MS = 10_000;

/** Bytes of memory that the driver needs for itself. */
export const NVME_WINDOW_BYTES: number = (DATA + DATA_PAGES) * PAGE;

/** A command failed; the status is as the controller gave it (0x4000 is Do Not Retry). */
export class NvmeError extends Error {
  readonly status: number;

  constructor(what: string, status: number) {
    super(`nvme: ${what} failed with status 0x${status.toString(16)}`);
    this.name = 'NvmeError';
    this.status = status;
  }
}

/**
 * A minimal NVMe driver: an admin queue and one I/O queue of 16 entries, one command at a time, data by PRP lists
 * over any pages. The first namespace is used.
 */
export class Nvme implements DmaEngine {
  readonly name = 'nvme';
  readonly granuleBytes: number;
  /** What one command may move, and what fits the window of {@link read} and {@link write}. */
  readonly maxBytes: number = DATA_PAGES * PAGE;
  /** Largest command. */
  readonly maxTransferBytes: number;
  readonly blocks: number;
  readonly serial: string;
  readonly #sys: Sys;
  readonly #bar: SysMemory;
  readonly #window: EngineWindow;
  readonly #admin: NvmeQueue;
  readonly #io: NvmeQueue;

  /**
   * Reset and enable the controller and make the I/O queue. Blocks for some milliseconds.
   *
   * @param device - bound and attached.
   * @param window - NVME_WINDOW_BYTES of page-aligned memory that is mapped at `window.iova`.
   * @throws Error when the controller does not become ready; NvmeError when a command fails.
   */
  constructor(device: VfioDevice, window: EngineWindow) {
    if (window.bytes.length < NVME_WINDOW_BYTES)
      throw new RangeError(`the NVMe driver needs ${NVME_WINDOW_BYTES} bytes, not ${window.bytes.length}`);
    this.#sys = device.iommufd.sys;
    this.#window = window;
    device.enableBusMaster();
    this.#bar = device.mapBar(0);
    window.bytes.fill(0, 0, DATA * PAGE);
    this.#admin = this.#queue(0, ADMIN_SQ, ADMIN_CQ);
    this.#io = this.#queue(1, IO_SQ, IO_CQ);
    this.#enable();
    const identity = this.#identify(1, 0);
    this.serial = ascii(identity.subarray(4, 24));
    const mdts = identity[77]!;
    // One PRP list page with 512 entries.
    const listLimit = 512 * PAGE;
    this.maxTransferBytes = mdts === 0 ? listLimit : Math.min(listLimit, PAGE * 2 ** mdts);
    const namespace = this.#identify(0, 1);
    const view = new DataView(namespace.buffer, namespace.byteOffset);
    this.blocks = Number(view.getBigUint64(0, true));
    const format = namespace[26]! & 15;
    this.granuleBytes = 2 ** namespace[128 + 4 * format + 2]!;
    this.#createQueues();
  }

  /** Bytes of the namespace. */
  get capacityBytes(): number {
    return this.blocks * this.granuleBytes;
  }

  /** Stop the controller: no DMA after this. */
  disable(): void {
    this.#bar.write(spec.NVME_CC, 32, 0);
    this.#waitReady(0);
  }

  /**
   * Move data between the namespace and pages of memory.
   *
   * @param write - true: from memory to the namespace.
   * @param byteOffset - position in the namespace, a multiple of the block size.
   * @param pages - IOVAs of the pages in order, each page-aligned; the first may start inside of a page.
   * @param lengthBytes - a multiple of the block size, at most `maxTransferBytes`.
   * @throws NvmeError
   */
  transfer(write: boolean, byteOffset: number, pages: readonly bigint[], lengthBytes: number): void {
    const block = this.granuleBytes;
    if (lengthBytes <= 0 || lengthBytes % block !== 0 || byteOffset % block !== 0)
      throw new RangeError(`[${byteOffset}, +${lengthBytes}) is not in blocks of ${block} bytes`);
    if (lengthBytes > this.maxTransferBytes)
      throw new RangeError(`${lengthBytes} bytes exceed one command of ${this.maxTransferBytes} bytes`);
    const list = this.#window.bytes.subarray(PRP_LIST * PAGE, (PRP_LIST + 1) * PAGE);
    const { prp1, prp2 } = prpsOf(pages, lengthBytes, list, this.#iova(PRP_LIST));
    const lba = byteOffset / block;
    const status = this.#io.submit({
      opcode: write ? spec.NVME_CMD_WRITE : spec.NVME_CMD_READ,
      nsid: 1,
      prp1,
      prp2,
      cdw10: lba % 2 ** 32,
      cdw11: Math.floor(lba / 2 ** 32),
      cdw12: lengthBytes / block - 1,
    });
    if (status !== 0) throw new NvmeError(`${write ? 'write' : 'read'} of ${lengthBytes} bytes`, status);
  }

  read(iova: bigint, lengthBytes: number): Uint8Array {
    this.transfer(true, 0, pagesFrom(iova, lengthBytes), lengthBytes);
    this.transfer(false, 0, pagesFrom(this.#iova(DATA), lengthBytes), lengthBytes);
    return this.#window.bytes.slice(DATA * PAGE, DATA * PAGE + lengthBytes);
  }

  write(iova: bigint, from: Uint8Array): void {
    this.#window.bytes.set(from, DATA * PAGE);
    this.transfer(true, 0, pagesFrom(this.#iova(DATA), from.length), from.length);
    this.transfer(false, 0, pagesFrom(iova, from.length), from.length);
  }

  #iova(page: number): bigint {
    return this.#window.iova + BigInt(page * PAGE);
  }

  #queue(id: number, sqPage: number, cqPage: number): NvmeQueue {
    const stride = 4 << Number((this.#bar.read(spec.NVME_CAP, 64) >> 32n) & 15n);
    const doorbell = (index: number, value: number): void =>
      this.#bar.write(spec.NVME_DOORBELLS + (2 * id + index) * stride, 32, value);
    return new NvmeQueue(this.#sys, this.#window, sqPage * PAGE, cqPage * PAGE, ENTRIES, doorbell);
  }

  #enable(): void {
    this.disable();
    this.#bar.write(spec.NVME_AQA, 32, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
    this.#bar.write(spec.NVME_ASQ, 64, this.#iova(ADMIN_SQ));
    this.#bar.write(spec.NVME_ACQ, 64, this.#iova(ADMIN_CQ));
    this.#bar.write(spec.NVME_CC, 32, spec.NVME_CC_ENTRY_SIZES | spec.NVME_CC_ENABLE);
    this.#waitReady(spec.NVME_CSTS_READY);
  }

  #waitReady(wanted: number): void {
    for (let waited = 0; (this.#bar.read(spec.NVME_CSTS, 32) & spec.NVME_CSTS_READY) !== wanted; waited++) {
      if (waited > TIMEOUT_MS) throw new Error(`nvme: not ${wanted === 0 ? 'stopped' : 'ready'} in 10 s`);
      this.#sys.sleepMs(1);
    }
  }

  #identify(cns: number, nsid: number): Uint8Array {
    const prp1 = this.#iova(DATA);
    const status = this.#admin.submit({ opcode: spec.NVME_ADMIN_IDENTIFY, nsid, prp1, cdw10: cns });
    if (status !== 0) throw new NvmeError('identify', status);
    return this.#window.bytes.slice(DATA * PAGE, (DATA + 1) * PAGE);
  }

  #createQueues(): void {
    const cdw10 = ((ENTRIES - 1) << 16) | 1;
    const completion = { opcode: spec.NVME_ADMIN_CREATE_CQ, prp1: this.#iova(IO_CQ), cdw10, cdw11: 1 };
    const submission = {
      opcode: spec.NVME_ADMIN_CREATE_SQ,
      prp1: this.#iova(IO_SQ),
      cdw10,
      cdw11: (1 << 16) | 1,
    };
    for (const command of [completion, submission]) {
      const status = this.#admin.submit(command);
      if (status !== 0) throw new NvmeError('creation of the I/O queue', status);
    }
  }
}

function pagesFrom(iova: bigint, lengthBytes: number): bigint[] {
  const pages = [iova];
  for (let at = (iova / 4096n + 1n) * 4096n; at < iova + BigInt(lengthBytes); at += 4096n) pages.push(at);
  return pages;
}

function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).trim();
}
