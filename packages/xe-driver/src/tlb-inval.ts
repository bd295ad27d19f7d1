import {
  DmaFence,
  HPAGE_PMD_NR,
  type Machine,
  roundupPowOfTwo,
  type SchedPoint,
  schedPoint,
  type Task,
  type Tracepoint,
} from '@gpusvm/kernel';
import { type XeCounters, TLB_INVAL_COUNT } from './counters.ts';
import type { XeGpuTlb } from './gpu-tlb.ts';
import { XE_TLB_INVAL, type XeTlbInvalEvent } from './trace.ts';

/** Sequence numbers run from 1 to this, then start over (TLB_INVALIDATION_SEQNO_MAX - 1). */
export const TLB_INVAL_SEQNO_LAST: number = 0xf_ffff;
/** Shortest flush of something that is at least 2M: 16M. */
const MIN_HUGE_FLUSH_PAGES = HPAGE_PMD_NR * 8;

/** The device has flushed nothing yet; accesses may still use old translations. */
export const TLB_PENDING: SchedPoint = schedPoint('xe_tlb_inval: submitted, not done');

interface PendingFlush {
  readonly seqno: number;
  readonly asid: number;
  /** First page; negative for the whole address space. */
  readonly startPage: number;
  readonly pages: number;
  readonly fence: DmaFence;
}

/** First page and length of the flush that covers an interval, see {@link tlbInvalRange}. */
export interface FlushWindow {
  readonly startPage: number;
  readonly pages: number;
}

/**
 * Interval that the firmware is asked to flush (xe_guc_tlb_inval.c): a power of two of pages, aligned to itself;
 * from 2M on at least 16M.
 */
export function tlbInvalRange(startPage: number, endPage: number): FlushWindow {
  let pages = roundupPowOfTwo(Math.max(1, endPage - startPage));
  let start = Math.floor(startPage / pages) * pages;
  while (start + pages < endPage) {
    pages *= 2;
    start = Math.floor(startPage / pages) * pages;
  }
  if (pages >= HPAGE_PMD_NR) {
    pages = Math.max(MIN_HUGE_FLUSH_PAGES, pages);
    start = Math.floor(startPage / pages) * pages;
  }
  return { startPage: start, pages };
}

/** Whether sequence number `done` says that `seqno` is done too: half-range comparison (xe_tlb_inval_seqno_past). */
export function tlbInvalSeqnoPast(done: number, seqno: number): boolean {
  const half = TLB_INVAL_SEQNO_LAST >> 1;
  if (seqno - done < -half) return false;
  if (seqno - done > half) return true;
  return done >= seqno;
}

/**
 * TLB invalidation of one GT (drivers/gpu/drm/xe/xe_tlb_inval.c): numbered requests, one fence each, signalled in
 * order when the device reports a number.
 */
export class XeTlbInval {
  readonly #machine: Machine;
  readonly #tlb: XeGpuTlb;
  readonly #counters: XeCounters;
  readonly #flushNs: number;
  readonly #traced: Tracepoint<XeTlbInvalEvent>;
  readonly #pending: PendingFlush[] = [];
  #seqno = 0;
  #received = 0;

  /**
   * @param flushNs - time from request to done.
   * @param lastSeqno - number issued last; to start near the wrap.
   */
  constructor(machine: Machine, tlb: XeGpuTlb, counters: XeCounters, flushNs: number, lastSeqno: number = 0) {
    this.#machine = machine;
    this.#tlb = tlb;
    this.#counters = counters;
    this.#flushNs = flushNs;
    this.#traced = machine.trace.point(XE_TLB_INVAL);
    this.#seqno = lastSeqno;
    this.#received = lastSeqno;
  }

  /** Requests that the device has not answered. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Number of the last request that was answered (seqno_recv). */
  get seqnoReceived(): number {
    return this.#received;
  }

  /** Ask for a flush of a page interval. Does not sleep. The fence signals when it is done. */
  submitRange(asid: number, startPage: number, endPage: number): DmaFence {
    const window = tlbInvalRange(startPage, endPage);
    return this.#submit(asid, window.startPage, window.pages);
  }

  /** Ask for a flush of a whole address space (xe_tlb_inval_vm). Does not sleep. */
  submitAsid(asid: number): DmaFence {
    return this.#submit(asid, -1, 0);
  }

  /** Sleep until a request is done. */
  *wait(fence: DmaFence): Task<void> {
    if (this.#machine.scheduler.preemptive) yield TLB_PENDING;
    if (!fence.signalled) this.deviceProcess();
    yield* fence.wait();
  }

  /** The device works off what was asked, in order, and reports the last number. */
  deviceProcess(): void {
    let last = this.#received;
    for (const request of this.#pending) {
      if (request.startPage < 0) this.#tlb.invalidateAsid(request.asid);
      else this.#tlb.invalidateRange(request.asid, request.startPage, request.startPage + request.pages);
      this.#machine.scheduler.charge(this.#flushNs);
      if (this.#traced.enabled) {
        const { asid, seqno, startPage, pages } = request;
        this.#traced.emit({ asid, seqno, startPage, endPage: startPage + pages });
      }
      last = request.seqno;
    }
    this.doneHandler(last);
  }

  /**
   * The firmware reported a number (xe_tlb_inval_done_handler): everything up to it is done. Numbers that were
   * reported before are ignored.
   */
  doneHandler(seqno: number): void {
    if (this.#pending.length === 0 || tlbInvalSeqnoPast(this.#received, seqno)) return;
    this.#received = seqno;
    while (this.#pending.length > 0 && tlbInvalSeqnoPast(seqno, this.#pending[0]!.seqno)) {
      this.#pending.shift()!.fence.signal();
    }
  }

  #submit(asid: number, startPage: number, pages: number): DmaFence {
    this.#seqno = this.#seqno === TLB_INVAL_SEQNO_LAST ? 1 : this.#seqno + 1;
    this.#counters.values[TLB_INVAL_COUNT]!++;
    const fence = new DmaFence(this.#machine, `tlb flush ${this.#seqno}`);
    this.#pending.push({ seqno: this.#seqno, asid, startPage, pages, fence });
    return fence;
  }
}
