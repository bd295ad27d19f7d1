import type { Errno } from './errno.ts';
import type { Machine } from './machine.ts';
import { StepTask, type Suspension, type Task } from './task.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { WaitQueue } from './wait-queue.ts';

/** A one-shot promise of a device (include/linux/dma-fence.h): signalled once, with `0` or a negated errno. */
export class DmaFence {
  readonly name: string;
  readonly #clock: VirtualClock;
  readonly #queue: WaitQueue;
  readonly #waitTask: Task<Errno>;
  readonly #result: { done: true; value: Errno } = { done: true, value: 0 };
  #signalledAtNs = Number.POSITIVE_INFINITY;

  /** @param name - name in reports. */
  constructor(machine: Machine, name: string) {
    this.name = name;
    this.#clock = machine.clock;
    this.#queue = new WaitQueue(machine.scheduler, `fence ${name}`);
    this.#waitTask = new FenceWait(this).asTask();
  }

  /** Whether a waiter would not sleep (dma_fence_is_signaled). */
  get signalled(): boolean {
    this.#queue.noteRead();
    return this.#signalledAtNs <= this.#clock.nowNs;
  }

  /** `0` until and unless the fence was signalled with an error. */
  get error(): Errno {
    return this.#result.value;
  }

  /**
   * Signal (dma_fence_signal, with dma_fence_set_error before it). A second signal is ignored. Does not sleep.
   *
   * @param error - `0` or the negated errno that waiters get.
   */
  signal(error: Errno = 0): void {
    if (this.#signalledAtNs !== Number.POSITIVE_INFINITY) return;
    this.#signalledAtNs = this.#clock.nowNs;
    this.#result.value = error;
    this.#queue.wakeAll();
  }

  /**
   * Sleep until signalled (dma_fence_wait). Allocates nothing when it is.
   *
   * @returns the fence's error.
   */
  wait(): Task<Errno> {
    return this.#waitTask;
  }

  /** @internal One step of {@link wait} for the running task. */
  waitStep(): IteratorResult<Suspension, Errno> {
    this.#queue.noteRead();
    if (this.#signalledAtNs === Number.POSITIVE_INFINITY) return this.#queue.enqueue();
    this.#clock.advanceTo(this.#signalledAtNs);
    return this.#result;
  }
}

class FenceWait extends StepTask<Errno> {
  readonly #fence: DmaFence;

  constructor(fence: DmaFence) {
    super();
    this.#fence = fence;
  }

  next(): IteratorResult<Suspension, Errno> {
    return this.#fence.waitStep();
  }
}
