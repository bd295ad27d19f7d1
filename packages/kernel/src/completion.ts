import type { Machine } from './machine.ts';
import { StepTask, type Suspension, type Task } from './task.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { WaitQueue } from './wait-queue.ts';

const DONE: IteratorReturnResult<void> = { done: true, value: undefined };

/** An event that happens once per `complete`, or for good after `completeAll` (include/linux/completion.h). */
export class Completion {
  readonly #clock: VirtualClock;
  readonly #queue: WaitQueue;
  readonly #waitTask: Task<void>;
  /** Instants of the completions that nobody has waited for yet. */
  readonly #doneAtNs: number[] = [];
  #allDoneAtNs = Number.POSITIVE_INFINITY;

  /** @param name - name in reports. */
  constructor(machine: Machine, name: string) {
    this.#clock = machine.clock;
    this.#queue = new WaitQueue(machine.scheduler, `completion ${name}`);
    this.#waitTask = new CompletionWait(this).asTask();
  }

  /** Whether a waiter would not sleep (completion_done). */
  get isDone(): boolean {
    this.#queue.noteRead();
    const nowNs = this.#clock.nowNs;
    return this.#allDoneAtNs <= nowNs || (this.#doneAtNs[0] ?? Number.POSITIVE_INFINITY) <= nowNs;
  }

  /** Let one waiter go on. Does not sleep. */
  complete(): void {
    this.#doneAtNs.push(this.#clock.nowNs);
    this.#queue.wakeOne();
  }

  /** Let every present and future waiter go on (complete_all). Does not sleep. */
  completeAll(): void {
    if (this.#clock.nowNs < this.#allDoneAtNs) this.#allDoneAtNs = this.#clock.nowNs;
    this.#queue.wakeAll();
  }

  /** Forget earlier completions (reinit_completion). Does not sleep. */
  reinit(): void {
    this.#queue.noteWrite();
    this.#doneAtNs.length = 0;
    this.#allDoneAtNs = Number.POSITIVE_INFINITY;
  }

  /** Sleep until completed (wait_for_completion). Allocates nothing when it is. */
  wait(): Task<void> {
    return this.#waitTask;
  }

  /** @internal One step of {@link wait} for the running task. */
  waitStep(): IteratorResult<Suspension, void> {
    this.#queue.noteWrite();
    if (this.#allDoneAtNs !== Number.POSITIVE_INFINITY) this.#clock.advanceTo(this.#allDoneAtNs);
    else if (this.#doneAtNs.length > 0) this.#clock.advanceTo(this.#doneAtNs.shift()!);
    else return this.#queue.enqueue();
    return DONE;
  }
}

class CompletionWait extends StepTask<void> {
  readonly #completion: Completion;

  constructor(completion: Completion) {
    super();
    this.#completion = completion;
  }

  next(): IteratorResult<Suspension, void> {
    return this.#completion.waitStep();
  }
}
