import {
  ENOSPC,
  type Errno,
  type Machine,
  roundupPowOfTwo,
  type SchedPoint,
  schedPoint,
  type Task,
  type Tracepoint,
  Work,
  WorkQueue,
} from '@gpusvm/kernel';
import { PAGEFAULT_WORKER_SLICE_NS } from './config.ts';
import { INVALID_PREFETCH } from './counters.ts';
import { XE_PAGEFAULT_ACCESS_PREFETCH, type XePagefault, xePagefaultService } from './pagefault.ts';
import { XE_PAGEFAULT, XE_PAGEFAULT_ACK, type XePagefaultAckEvent, type XePagefaultEvent } from './trace.ts';
import type { XeDevice } from './xe-device.ts';

/** Number of rings; a fault goes to the one of its address space (XE_PAGEFAULT_QUEUE_COUNT). */
export const XE_PAGEFAULT_QUEUE_COUNT: 4 = 4;
/** A worker took a fault from its ring. */
export const PAGEFAULT_POPPED: SchedPoint = schedPoint('xe_pagefault: popped');
/** A fault is served but not answered. */
export const PAGEFAULT_SERVED: SchedPoint = schedPoint('xe_pagefault: served, not acked');

/**
 * Entries of a ring: bytes are (EUs + engines) * 64 * 8 rounded up to a power of two, an entry has 64 bytes.
 *
 * @param eus - execution units of all GTs.
 * @param engines - hardware engines of all GTs.
 */
export function pagefaultRingEntries(eus: number, engines: number): number {
  return roundupPowOfTwo((eus + engines) * 8);
}

/** One ring with its worker (struct xe_pagefault_queue). Faults of one address space are served one by one. */
class PagefaultRing {
  readonly entries: (XePagefault | null)[];
  head = 0;
  tail = 0;
  /** Faults taken from the ring and not yet answered: 0 or 1. */
  serving = 0;
  readonly #xe: XeDevice;
  readonly #queue: WorkQueue;
  readonly #work: Work;
  readonly #acked: Tracepoint<XePagefaultAckEvent>;

  constructor(machine: Machine, xe: XeDevice, index: number, capacity: number) {
    this.#xe = xe;
    this.entries = Array.from({ length: capacity }, () => null);
    this.#queue = new WorkQueue(machine, `xe pagefault ${index}`);
    this.#work = new Work(() => this.#worker());
    this.#acked = machine.trace.point(XE_PAGEFAULT_ACK);
  }

  /** Faults in the ring. */
  get length(): number {
    return this.head - this.tail;
  }

  /** A ring is full one entry early, as in the kernel. */
  push(fault: XePagefault): boolean {
    if (this.entries.length - this.length <= 1) return false;
    this.entries[this.head & (this.entries.length - 1)] = fault;
    this.head++;
    this.#queue.queueWork(this.#work);
    return true;
  }

  /** Drop everything queued without an answer. */
  squash(): void {
    for (let at = this.tail; at < this.head; at++) {
      const slot = at & (this.entries.length - 1);
      this.entries[slot]?.dropped();
      this.entries[slot] = null;
    }
  }

  flush(): Task<void> {
    return this.#queue.flush();
  }

  *#worker(): Task<void> {
    const { machine } = this.#xe;
    const deadlineNs = machine.clock.nowNs + PAGEFAULT_WORKER_SLICE_NS;
    while (this.tail < this.head) {
      const slot = this.tail & (this.entries.length - 1);
      const fault = this.entries[slot]!;
      this.entries[slot] = null;
      this.tail++;
      if (fault === null) continue;
      this.serving = 1;
      if (machine.scheduler.preemptive) yield PAGEFAULT_POPPED;
      const err = yield* xePagefaultService(this.#xe, fault);
      if (err !== 0) this.#failed(fault, err);
      if (machine.scheduler.preemptive) yield PAGEFAULT_SERVED;
      this.serving = 0;
      if (this.#acked.enabled) this.#acked.emit({ asid: fault.asid, page: fault.page, error: err });
      fault.ackFault(err);
      if (machine.clock.nowNs > deadlineNs && this.tail < this.head) {
        this.#queue.queueWork(this.#work);
        return;
      }
    }
  }

  /** An error is remembered in the VM; one of a prefetch instruction is only counted. */
  #failed(fault: XePagefault, err: Errno): void {
    if ((fault.access & XE_PAGEFAULT_ACCESS_PREFETCH) !== 0) this.#xe.counters.values[INVALID_PREFETCH]!++;
    this.#xe.vmOfAsid(fault.asid)?.recordFault(fault.page, err);
  }
}

/** The fault queues of a device (drivers/gpu/drm/xe/xe_pagefault.c, without fault cache). */
export class XePagefaultQueues {
  readonly #machine: Machine;
  readonly #rings: PagefaultRing[] = [];
  readonly #traced: Tracepoint<XePagefaultEvent>;

  constructor(machine: Machine, xe: XeDevice, ringEntries: number) {
    this.#machine = machine;
    for (let i = 0; i < XE_PAGEFAULT_QUEUE_COUNT; i++) {
      this.#rings.push(new PagefaultRing(machine, xe, i, ringEntries));
    }
    this.#traced = machine.trace.point(XE_PAGEFAULT);
    machine.ledger.register(() => [
      { kind: 'pending fault', count: this.pending, detail: 'GPU faults queued or served and not answered' },
    ]);
  }

  /** Faults that wait for an answer. */
  get pending(): number {
    let count = 0;
    for (const ring of this.#rings) count += ring.length + ring.serving;
    return count;
  }

  /** See {@link xePagefaultHandler}. */
  handle(fault: XePagefault): Errno {
    const queue = fault.asid & (XE_PAGEFAULT_QUEUE_COUNT - 1);
    if (!this.#rings[queue]!.push(fault)) {
      this.#machine.warn('xe_pagefault_handler', 'fault queue is full, which should not be possible');
      return -ENOSPC;
    }
    if (this.#traced.enabled) {
      this.#traced.emit({ asid: fault.asid, page: fault.page, access: fault.access, queue });
    }
    return 0;
  }

  /** Reset of the GT (xe_pagefault_reset): what is queued is dropped without an answer. Does not sleep. */
  reset(): void {
    for (const ring of this.#rings) ring.squash();
  }

  /** Sleep until every fault is answered. */
  *flush(): Task<void> {
    for (const ring of this.#rings) yield* ring.flush();
  }
}

/**
 * Hand a fault to the driver (xe_pagefault_handler). Interrupt context: does not sleep, allocates nothing.
 *
 * @returns 0, or -ENOSPC with a warning when the ring is full.
 */
export function xePagefaultHandler(xe: XeDevice, fault: XePagefault): Errno {
  return xe.pagefaults.handle(fault);
}
