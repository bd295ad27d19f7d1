import type { Sys } from '../sys.ts';
import { encode, type Input } from '../uapi/layout.ts';
import type { EngineWindow } from './dma-engine.ts';
import { NVME_CQE_BYTES, NVME_SQE, NVME_SQE_BYTES } from './nvme-spec.ts';

/** Polls without sleeping before the first sleep: emulated commands take some ten microseconds. */
const SPINS = 2000;
const TIMEOUT_MS = 10_000;
const STATUS_AT = 14;

/** A pair of rings, one command at a time. */
export class NvmeQueue {
  readonly #sys: Sys;
  readonly #window: EngineWindow;
  readonly #sqAt: number;
  readonly #cqAt: number;
  readonly #entries: number;
  readonly #doorbell: (index: number, value: number) => void;
  #tail = 0;
  #head = 0;
  #phase = 1;
  #cid = 0;

  /**
   * @param sqAt - offset of the submission ring in the window; `cqAt` of the completion ring.
   * @param doorbell - rings the submission (0) or completion (1) doorbell.
   */
  constructor(
    sys: Sys,
    window: EngineWindow,
    sqAt: number,
    cqAt: number,
    entries: number,
    doorbell: (index: number, value: number) => void,
  ) {
    this.#sys = sys;
    this.#window = window;
    this.#sqAt = sqAt;
    this.#cqAt = cqAt;
    this.#entries = entries;
    this.#doorbell = doorbell;
  }

  /**
   * Run one command and wait for it.
   *
   * @returns its status without the phase bit; 0 is success.
   * @throws Error when the controller does not answer within 10 s: it has lost its queue, reset it.
   */
  submit(command: Input<typeof NVME_SQE>): number {
    this.#cid = (this.#cid + 1) & 0xffff;
    const at = this.#sqAt + this.#tail * NVME_SQE_BYTES;
    encode(NVME_SQE, { ...command, cid: this.#cid }, this.#window.bytes, at);
    this.#tail = (this.#tail + 1) % this.#entries;
    this.#doorbell(0, this.#tail);
    const status = this.#await(this.#cqAt + this.#head * NVME_CQE_BYTES + STATUS_AT);
    this.#head = (this.#head + 1) % this.#entries;
    if (this.#head === 0) this.#phase ^= 1;
    this.#doorbell(1, this.#head);
    return status;
  }

  #await(at: number): number {
    for (let waited = 0; ; waited++) {
      const status = this.#window.read16(at);
      if ((status & 1) === this.#phase) return status >> 1;
      if (waited < SPINS) continue;
      if (waited > SPINS + TIMEOUT_MS) throw new Error('nvme: no completion within 10 s');
      this.#sys.sleepMs(1);
    }
  }
}
