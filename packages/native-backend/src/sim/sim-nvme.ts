import {
  NVME_ACQ,
  NVME_AQA,
  NVME_ASQ,
  NVME_CAP,
  NVME_CC,
  NVME_CQE,
  NVME_CQE_BYTES,
  NVME_CSTS,
  NVME_CSTS_FATAL,
  NVME_CSTS_READY,
  NVME_DOORBELLS,
  NVME_SQE,
  NVME_SQE_BYTES,
  NVME_VS,
} from '../devices/nvme-spec.ts';
import type { AccessBits } from '../sys.ts';
import { decode, encoded } from '../uapi/layout.ts';
import type { SimRegisters } from './sim-memory.ts';
import { SimNamespace } from './sim-namespace.ts';
import { runAdmin, runIo, type SimNvmeQueues } from './sim-nvme-commands.ts';
import type { SimBus, SimPciModel } from './sim-pci.ts';

/** 2048 entries a queue, contiguous queues required, 7.5 s timeout, NVM command set. */
const CAP = 0x7ffn | (1n << 16n) | (15n << 24n) | (1n << 37n);
const VERSION = 0x00010400n;
const BAR_BYTES = 0x4000;

/** A ring in memory. */
export interface SimRing {
  readonly base: bigint;
  readonly entries: number;
  /** Submission: next to fetch. Completion: next to fill. */
  head: number;
  /** Written by the doorbell. */
  tail: number;
  phase: number;
  /** Completion queue of a submission queue. */
  readonly completion: number;
  /** Interrupt vector of a completion queue; -1 for none. */
  readonly vector: number;
}

/** An NVMe controller with one namespace, as QEMU 7.2 shows it: commands run when the doorbell rings. */
export class SimNvme implements SimPciModel, SimRegisters, SimNvmeQueues {
  readonly vendor = 0x1b36;
  readonly device = 0x0010;
  readonly classCode = 0x010802;
  readonly bars: readonly (SimRegisters | null)[] = [this, null, null, null, null, null];
  readonly msiVectors = 0;
  readonly msixVectors = 65;
  readonly configBytes = 4096;
  readonly lengthBytes: number = BAR_BYTES;
  readonly namespace: SimNamespace;
  readonly submissions: Map<number, SimRing> = new Map();
  readonly completions: Map<number, SimRing> = new Map();
  #bus: SimBus | null = null;
  #cc = 0;
  #csts = 0;
  #aqa = 0;
  #asq = 0n;
  #acq = 0n;

  /** @param bytes - size of the namespace, a multiple of 512. */
  constructor(bytes: number = 64 * 2 ** 20) {
    this.namespace = new SimNamespace(bytes);
  }

  get bus(): SimBus {
    return this.#bus!;
  }

  connect(bus: SimBus): void {
    this.#bus = bus;
  }

  reset(): void {
    this.#cc = 0;
    this.#csts = 0;
    this.submissions.clear();
    this.completions.clear();
  }

  read(offset: number, bits: AccessBits): bigint {
    const mask = 2n ** BigInt(bits) - 1n;
    const registers: readonly (readonly [number, number, bigint])[] = [
      [NVME_CAP, 8, CAP],
      [NVME_VS, 4, VERSION],
      [NVME_CC, 4, BigInt(this.#cc)],
      [NVME_CSTS, 4, BigInt(this.#csts)],
      [NVME_AQA, 4, BigInt(this.#aqa)],
      [NVME_ASQ, 8, this.#asq],
      [NVME_ACQ, 8, this.#acq],
    ];
    for (const [at, width, value] of registers) {
      if (offset >= at && offset < at + width) return (value >> BigInt(8 * (offset - at))) & mask;
    }
    return 0n;
  }

  write(offset: number, bits: AccessBits, value: bigint): void {
    if (offset >= NVME_DOORBELLS) this.#doorbell((offset - NVME_DOORBELLS) / 4, Number(value));
    else if (offset === NVME_CC) this.#configure(Number(value));
    else if (offset === NVME_AQA) this.#aqa = Number(value);
    else if (offset === NVME_ASQ || offset === NVME_ASQ + 4)
      this.#asq = merge(this.#asq, offset, bits, value);
    else if (offset === NVME_ACQ || offset === NVME_ACQ + 4)
      this.#acq = merge(this.#acq, offset, bits, value);
  }

  #configure(value: number): void {
    const enabled = (this.#cc & 1) !== 0;
    this.#cc = value;
    if ((value & 1) === 0) {
      this.#csts = 0;
      this.submissions.clear();
      this.completions.clear();
    } else if (!enabled) {
      const ring = { head: 0, tail: 0, phase: 1, completion: 0, vector: 0 };
      this.submissions.set(0, { ...ring, base: this.#asq, entries: (this.#aqa & 0xfff) + 1 });
      this.completions.set(0, { ...ring, base: this.#acq, entries: ((this.#aqa >> 16) & 0xfff) + 1 });
      this.#csts = NVME_CSTS_READY;
    }
  }

  #doorbell(index: number, value: number): void {
    const id = index >> 1;
    const ring = (index & 1) === 0 ? this.submissions.get(id) : this.completions.get(id);
    if (ring === undefined || value >= ring.entries || (this.#csts & NVME_CSTS_READY) === 0) return;
    ring.tail = value;
    if ((index & 1) === 0) this.#serve(id, ring);
  }

  /** Fetch and run everything between head and tail. */
  #serve(id: number, ring: SimRing): void {
    while (ring.head !== ring.tail) {
      const bytes = new Uint8Array(NVME_SQE_BYTES);
      if (!this.bus.dmaRead(ring.base + BigInt(ring.head * NVME_SQE_BYTES), bytes)) {
        this.#csts |= NVME_CSTS_FATAL;
        return;
      }
      ring.head = (ring.head + 1) % ring.entries;
      const command = decode(NVME_SQE, bytes);
      const { status, result } = id === 0 ? runAdmin(this, command) : runIo(this, command);
      this.#complete(id, ring, command.cid, status, result);
    }
  }

  #complete(id: number, ring: SimRing, cid: number, status: number, result: number): void {
    const queue = this.completions.get(ring.completion);
    if (queue === undefined) return;
    const entry = encoded(NVME_CQE, {
      result,
      sqHead: ring.head,
      sqId: id,
      cid,
      status: ((status << 1) | queue.phase) & 0xffff,
    });
    if (!this.bus.dmaWrite(queue.base + BigInt(queue.head * NVME_CQE_BYTES), entry)) {
      this.#csts |= NVME_CSTS_FATAL;
      return;
    }
    queue.head = (queue.head + 1) % queue.entries;
    if (queue.head === 0) queue.phase ^= 1;
    if (queue.vector >= 0) this.bus.interrupt(queue.vector);
  }
}

/** A 64-bit register may be written in halves. */
function merge(old: bigint, offset: number, bits: AccessBits, value: bigint): bigint {
  if (bits === 64) return value;
  const low = offset % 8 === 0;
  return low ? (old & ~0xffffffffn) | value : (old & 0xffffffffn) | (value << 32n);
}
