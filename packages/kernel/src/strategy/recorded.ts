import type { Choice } from '../choice.ts';
import type { TaskHandle } from '../task-handle.ts';
import { DefaultOrder } from './default-order.ts';
import type { ChoiceMade, Schedule, Switch } from './schedule.ts';
import type { SchedulerStrategy } from './strategy.ts';

/** A strategy that remembers what it has decided, so that the run can be printed and replayed. */
export interface RecordedStrategy extends SchedulerStrategy {
  /** The schedule of the run so far. */
  readonly schedule: Schedule;
}

/**
 * Record what a strategy decides.
 *
 * @param strategy - one that preempts, not in timed mode, whose order is the clock's.
 * @throws RangeError for a strategy whose runs {@link replay} could not repeat.
 */
export function recorded(strategy: SchedulerStrategy): RecordedStrategy {
  if (strategy.timed || !strategy.preemptive)
    throw new RangeError(`the strategy ${strategy.name} cannot be recorded: it leaves nothing to decide`);
  return new Recorder(strategy);
}

class Recorder implements RecordedStrategy {
  readonly name: string;
  readonly preemptive = true;
  readonly timed = false;
  readonly timeless: boolean;
  readonly everyStep = true;
  readonly #inner: SchedulerStrategy;
  readonly #order = new DefaultOrder();
  readonly #switches: Switch[] = [];
  readonly #choices: ChoiceMade[] = [];
  #step = 0;
  #choice = 0;
  /** What the inner strategy draws to pick is no choice of the program. */
  #picking = false;

  constructor(inner: SchedulerStrategy) {
    this.name = `recorded ${inner.name}`;
    this.timeless = inner.timeless ?? false;
    this.#inner = inner;
  }

  get schedule(): Schedule {
    return { switches: this.#switches, choices: this.#choices };
  }

  pick(runnable: readonly TaskHandle[], choice: Choice): number {
    this.#picking = true;
    const ask = runnable.length > 1 || this.#inner.everyStep === true;
    const index = ask ? this.#inner.pick(runnable, choice) : 0;
    this.#picking = false;
    const task = runnable[index]!;
    if (index !== this.#order.pick(runnable)) this.#switches.push({ step: this.#step, task: task.id });
    this.#order.ran(task);
    this.#step++;
    return index;
  }

  choose(n: number, draw: (n: number) => number): number {
    const value = this.#inner.choose === undefined ? draw(n) : this.#inner.choose(n, draw);
    if (this.#picking) return value;
    if (value !== 0) this.#choices.push({ index: this.#choice, value });
    this.#choice++;
    return value;
  }
}
