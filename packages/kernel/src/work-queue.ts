import type { Machine } from './machine.ts';
import type { TaskHandle } from './task-handle.ts';
import type { Task } from './task.ts';
import { WaitQueue } from './wait-queue.ts';

/** A piece of deferred work; queued at most once at a time (struct work_struct). */
export class Work {
  /** True from queueing until the worker takes it up. */
  pending = false;
  /** @internal Position in the queue's history. */
  ticket = 0;
  /** @internal Instant of queueing. */
  queuedAtNs = 0;
  readonly run: () => Task<void>;

  /** @param run - makes the task of one execution; it may queue its own work again. */
  constructor(run: () => Task<void>) {
    this.run = run;
  }
}

/** An ordered queue with one worker task (alloc_ordered_workqueue). The worker lives only while there is work. */
export class WorkQueue {
  readonly name: string;
  readonly #machine: Machine;
  readonly #retired: WaitQueue;
  readonly #works: Work[] = [];
  #worker: TaskHandle | null = null;
  /** Ticket of the work that runs now; infinity when none does. */
  #running = Number.POSITIVE_INFINITY;
  #lastTicket = 0;
  /** Instant at which a work last ended. */
  #retiredAtNs = 0;

  /** @param name - name in reports. */
  constructor(machine: Machine, name: string) {
    this.#machine = machine;
    this.name = name;
    this.#retired = new WaitQueue(machine.scheduler, `flush of ${name}`, () =>
      this.#worker === null ? [] : [this.#worker],
    );
  }

  /**
   * Queue work (queue_work). Work that runs already is queued for one more execution. Does not sleep.
   *
   * @returns false when it was pending already.
   */
  queueWork(work: Work): boolean {
    this.#retired.noteWrite();
    if (work.pending) return false;
    work.pending = true;
    work.ticket = ++this.#lastTicket;
    work.queuedAtNs = this.#machine.clock.nowNs;
    this.#works.push(work);
    this.#worker ??= this.#machine.spawn(this.#work(), `worker ${this.name}`);
    return true;
  }

  /**
   * Take a pending work off the queue; it will not run unless queued again (cancel_work). An execution under way goes
   * on. Does not sleep.
   *
   * @returns false when it was not pending.
   * @throws RangeError when it is pending in another queue.
   */
  cancelWork(work: Work): boolean {
    this.#retired.noteWrite();
    if (!work.pending) return false;
    const index = this.#works.indexOf(work);
    if (index < 0) throw new RangeError(`work is not pending in ${this.name} but in another queue`);
    work.pending = false;
    this.#works.splice(index, 1);
    this.#retired.wakeAll();
    return true;
  }

  /**
   * Sleep until everything queued so far has run or was cancelled (flush_workqueue); work queued meanwhile is not
   * waited for. From inside a work of this queue it is a deadlock, reported as such.
   */
  *flush(): Task<void> {
    this.#retired.noteRead();
    const ticket = this.#lastTicket;
    yield* this.#retired.waitUntil(() => {
      const first = this.#works[0]?.ticket ?? Number.POSITIVE_INFINITY;
      return this.#running > ticket && first > ticket;
    });
    this.#machine.clock.advanceTo(this.#retiredAtNs);
  }

  *#work(): Task<void> {
    try {
      for (let work = this.#works.shift(); work !== undefined; work = this.#works.shift()) {
        this.#machine.clock.advanceTo(work.queuedAtNs);
        this.#retired.noteWrite();
        work.pending = false;
        this.#running = work.ticket;
        yield* work.run();
        this.#running = Number.POSITIVE_INFINITY;
        this.#retiredAtNs = this.#machine.clock.nowNs;
        this.#retired.wakeAll();
      }
    } finally {
      this.#retired.noteWrite();
      this.#running = Number.POSITIVE_INFINITY;
      this.#worker = null;
    }
  }
}
