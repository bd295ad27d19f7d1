import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FLUSH_QUEUE_GEOMETRY,
  FlushQueue,
  type FlushQueueKind,
  IO_PAGE_TABLES,
  PagingDomain,
} from '../../src/index.ts';
import { must, Random } from '../support/random.ts';

const CPUS = 3;

interface Entry {
  readonly page: number;
  readonly ring: number;
  /** Flushes that had begun when it was queued. */
  readonly flushes: number;
}

/** The rules of the flush queue on one array: who waits, who is freed by which flush. */
class NaiveQueue {
  readonly #kind: FlushQueueKind;
  waiting: Entry[] = [];
  flushes = 0;
  timerNs = -1;
  readonly freed: number[] = [];

  constructor(kind: FlushQueueKind) {
    this.#kind = kind;
  }

  queue(page: number, cpu: number, nowNs: number): void {
    const { entries, timeoutNs } = FLUSH_QUEUE_GEOMETRY[this.#kind];
    const ring = this.#kind === 'single' ? 0 : cpu;
    this.#retire(ring);
    if (this.waiting.filter((e) => e.ring === ring).length === entries - 1) {
      this.flushes++;
      this.#retire(ring);
    }
    this.waiting.push({ page, ring, flushes: this.flushes });
    if (this.timerNs < 0) this.timerNs = nowNs + timeoutNs;
  }

  poll(nowNs: number): void {
    if (this.timerNs < 0 || nowNs < this.timerNs) return;
    this.timerNs = -1;
    if (this.waiting.length === 0) return;
    this.flushes++;
    for (let ring = 0; ring < CPUS; ring++) this.#retire(ring);
  }

  /** Free what was queued before the last flush began. */
  #retire(ring: number): void {
    const isDone = (e: Entry): boolean => e.ring === ring && e.flushes < this.flushes;
    for (const e of this.waiting) if (isDone(e)) this.freed.push(e.page);
    this.waiting = this.waiting.filter((e) => !isDone(e));
  }
}

class Both {
  readonly machine = new Machine({ cpus: CPUS });
  readonly domain = new PagingDomain(this.machine, { name: 'dut', format: IO_PAGE_TABLES.vtd });
  readonly freed: number[] = [];
  readonly queue: FlushQueue;
  readonly naive: NaiveQueue;
  #next = 1;

  constructor(kind: FlushQueueKind) {
    this.queue = new FlushQueue(this.machine, this.domain, kind, (page) => this.freed.push(page));
    this.naive = new NaiveQueue(kind);
  }

  add(cpu: number, what: () => string): void {
    const page = this.#next++;
    this.queue.queue(page, 1, 0, cpu);
    this.naive.queue(page, cpu, this.machine.clock.nowNs);
    this.compare(what);
  }

  wait(ns: number, what: () => string): void {
    this.machine.clock.advance(ns);
    this.queue.poll();
    this.naive.poll(this.machine.clock.nowNs);
    this.compare(what);
  }

  compare(what: () => string): void {
    must(this.queue.size, this.naive.waiting.length, () => `${what()}: entries that wait`);
    must(this.freed.length, this.naive.freed.length, () => `${what()}: ranges freed`);
    must(this.freed.at(-1) ?? 0, this.naive.freed.at(-1) ?? 0, () => `${what()}: last range freed`);
    must(
      this.machine.counters.snapshot().get('dma.fqFlushAll')!,
      this.naive.flushes,
      () => `${what()}: flushes`,
    );
  }
}

describe('the flush queue against an array of entries', () => {
  it('per CPU: 150,000 operations over 10 seeds free the same ranges at the same moments', () => {
    for (let seed = 0; seed < 10; seed++) {
      const random = new Random(seed);
      const both = new Both('per-cpu');
      for (let step = 0; step < 15_000; step++) {
        const what = (): string => `seed ${seed}, step ${step}`;
        if (random.below(200) === 0) both.wait(random.below(4) * 4e6, what);
        else both.add(random.below(20) === 0 ? random.below(CPUS) : 0, what);
      }
      const inOrder = (a: number[]): string => JSON.stringify(a);
      expect(inOrder(both.freed)).toBe(inOrder(both.naive.freed));
    }
  });

  it('single: one ring of 32767 usable entries for all CPUs, and one second', () => {
    const both = new Both('single');
    for (let i = 0; i < 32_767; i++) both.queue.queue(i + 1, 1, 0, i % CPUS);
    expect([both.queue.size, both.freed.length]).toEqual([32_767, 0]);
    both.queue.queue(50_000, 1, 0, 1);
    expect([both.queue.size, both.freed.length]).toEqual([1, 32_767]);
    both.machine.clock.advance(999e6);
    both.queue.poll();
    expect(both.queue.size).toBe(1);
    both.machine.clock.advance(1e6);
    both.queue.poll();
    expect([both.queue.size, both.freed.at(-1)]).toEqual([0, 50_000]);
  });

  it('any short sequence of adds and waits agrees (shrinks)', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        n: fc.integer({ min: 1, max: 260 }),
        cpu: fc.nat(CPUS - 1),
      }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(12) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const both = new Both('per-cpu');
        steps.forEach((s, i) => {
          const what = (): string => `step ${i}`;
          if (s.kind === 'wait') both.wait(s.ms * 1e6, what);
          else for (let k = 0; k < s.n; k++) both.add(s.cpu, what);
        });
        expect(both.freed).toEqual(both.naive.freed);
      }),
      { numRuns: 60, seed: 11 },
    );
  });
});
