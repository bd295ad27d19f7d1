import type { Machine } from '@gpusvm/kernel';
import { C_FQ_ENT, C_FQ_FLUSH_ALL, dmaCounters } from './dma-counters.ts';
import type { IommuDomain } from './iommu-domain.ts';

/** Form of a flush queue: one a CPU (256 entries, 10 ms) or one for all (32768 entries, 1 s; shadow_on_flush). */
export type FlushQueueKind = 'per-cpu' | 'single';

/** Entries and timeout of each form (IOVA_DEFAULT_FQ_*, IOVA_SINGLE_FQ_* of drivers/iommu/dma-iommu.c, 7.3). */
export const FLUSH_QUEUE_GEOMETRY: Readonly<Record<FlushQueueKind, { entries: number; timeoutNs: number }>> =
  {
    'per-cpu': { entries: 256, timeoutNs: 10e6 },
    single: { entries: 32768, timeoutNs: 1000e6 },
  };

class Ring {
  readonly page: Float64Array;
  readonly pages: Float64Array;
  readonly counter: Float64Array;
  readonly freeHead: Int32Array;
  head = 0;
  tail = 0;

  constructor(entries: number) {
    this.page = new Float64Array(entries);
    this.pages = new Float64Array(entries);
    this.counter = new Float64Array(entries);
    this.freeHead = new Int32Array(entries);
  }
}

/**
 * Flush queue of a lazy domain: unmapped IOVAs and their tables wait until one flush of the whole domain's IOTLB.
 *
 * The timer runs on the virtual clock. It is looked at whenever the device or the DMA API does something
 * ({@link poll}), which nobody can tell from a timer that fires in between.
 */
export class FlushQueue {
  readonly #machine: Machine;
  readonly #domain: IommuDomain;
  readonly #free: (page: number, pages: number) => void;
  readonly #counters: Float64Array;
  readonly #rings: Ring[] = [];
  readonly #mask: number;
  readonly #timeoutNs: number;
  #flushStarted = 0;
  #flushFinished = 0;
  /** When the timer fires; 0 = not armed. */
  #timerNs = 0;

  constructor(
    machine: Machine,
    domain: IommuDomain,
    kind: FlushQueueKind,
    free: (page: number, pages: number) => void,
  ) {
    const { entries, timeoutNs } = FLUSH_QUEUE_GEOMETRY[kind];
    this.#machine = machine;
    this.#domain = domain;
    this.#free = free;
    this.#counters = dmaCounters(machine).values;
    this.#mask = entries - 1;
    this.#timeoutNs = timeoutNs;
    const rings = kind === 'single' ? 1 : machine.cpus;
    for (let i = 0; i < rings; i++) this.#rings.push(new Ring(entries));
  }

  /** Entries that wait. */
  get size(): number {
    let sum = 0;
    for (const ring of this.#rings) sum += (ring.tail - ring.head) & this.#mask;
    return sum;
  }

  /** Put a freed range and its table pages into the queue (queue_iova); flushes at once when it is full. */
  queue(page: number, pages: number, freeHead: number, cpu: number): void {
    const ring = this.#rings[cpu < this.#rings.length ? cpu : 0]!;
    this.#retire(ring);
    if (((ring.tail + 1) & this.#mask) === ring.head) {
      this.#flush();
      this.#retire(ring);
    }
    const i = ring.tail;
    ring.page[i] = page;
    ring.pages[i] = pages;
    ring.freeHead[i] = freeHead;
    ring.counter[i] = this.#flushStarted;
    ring.tail = (i + 1) & this.#mask;
    this.#counters[C_FQ_ENT]!++;
    if (this.#timerNs === 0) this.#timerNs = this.#machine.clock.nowNs + this.#timeoutNs;
  }

  /** Run the timer if it is due. */
  poll(): void {
    if (this.#timerNs !== 0 && this.#machine.clock.nowNs >= this.#timerNs) this.drain();
  }

  /** Flush and free everything now (the timer's function, and teardown). */
  drain(): void {
    this.#timerNs = 0;
    if (this.size === 0) return;
    this.#flush();
    for (const ring of this.#rings) this.#retire(ring);
  }

  /** Visit the ranges that wait. */
  forEach(fn: (page: number, pages: number) => void): void {
    for (const ring of this.#rings) {
      for (let i = ring.head; i !== ring.tail; i = (i + 1) & this.#mask) fn(ring.page[i]!, ring.pages[i]!);
    }
  }

  #flush(): void {
    this.#flushStarted++;
    this.#counters[C_FQ_FLUSH_ALL]!++;
    this.#domain.flushAll();
    this.#flushFinished++;
  }

  /** Free the entries that a finished flush covers: those queued before it started. */
  #retire(ring: Ring): void {
    while (ring.head !== ring.tail && ring.counter[ring.head]! < this.#flushFinished) {
      const i = ring.head;
      if (ring.freeHead[i] !== 0) this.#domain.releaseTables(ring.freeHead[i]!);
      this.#free(ring.page[i]!, ring.pages[i]!);
      ring.head = (i + 1) & this.#mask;
    }
  }
}
