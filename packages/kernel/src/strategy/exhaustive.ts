import { AccessLog } from '../access-log.ts';
import type { TaskHandle } from '../task-handle.ts';
import { DefaultOrder } from './default-order.ts';
import type { ExhaustiveOptions, RunEnd } from './exhaustive-options.ts';
import { HappensBefore } from './happens-before.ts';
import type { ChoiceMade, Schedule, Switch } from './schedule.ts';
import { type Footprint, SearchNode } from './search-node.ts';
import type { SchedulerStrategy } from './strategy.ts';
import { maskOf } from './task-set.ts';

/** Stands for everything that tasks share without saying so. */
const UNDECLARED = 0;

const REDUNDANT = new Error('this run would repeat an earlier one in another order of independent steps');
const CUT = new Error('the run has reached the bound on its steps');
/**
 * Every interleaving of a program, by running it again and again from the start: a depth-first search over who goes
 * next at each step and over each answer to `machine.choose`.
 *
 * ```
 * do { search.run((strategy) => { ... new Machine({ strategy }) ... }); } while (search.next());
 * ```
 *
 * With `reduce`, two orders of steps that differ only by swapping neighbours that are independent count as one.
 * Source sets (Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial order reduction, POPL 2014) add a task to
 * a decision only when a later step races with the step taken there; sleep sets (Godefroid: Partial-order methods for
 * the verification of concurrent systems, 1996) keep a task out while nothing it depends on has happened. Every reachable
 * end state and every deadlock of the unreduced search is met; intermediate states are met up to the order of
 * independent steps. It is sound if steps are deterministic, if everything that tasks share notes its accesses or
 * belongs to `undeclared`, and if no run is cut.
 */
export class ExhaustiveSearch {
  /** Runs to the end of the program. */
  complete = 0;
  /** Runs given up because they would repeat an earlier one. */
  redundant = 0;
  /** Runs given up at the bound on steps; with any of these the search is not exhaustive. */
  cut = 0;
  steps = 0;
  readonly #reduce: boolean;
  readonly #mostSteps: number;
  readonly #deviations: number;
  readonly #digest: (() => number | string) | null;
  readonly #opaque: boolean;
  readonly #merge: ((step: number) => string) | null;
  readonly #met = new Set<string>();
  readonly #onState: (() => void) | undefined;
  readonly #log = new AccessLog();
  readonly #order = new HappensBefore();
  /** Node 0 holds the choices made before the first step. */
  readonly #nodes: SearchNode[] = [new SearchNode()];
  /** Nodes on the present path, node 0 included. */
  #length = 1;
  /** Decisions made in the present run, counted as `#length`. */
  #depth = 1;
  #answers = 0;
  /** Depth up to which steps are taken into account. */
  #ended = 0;
  /** Depth of the first decision that differs from the run before; what lies before it need not be looked at again. */
  #fresh = 0;
  #lastDigest: number | string = 0;
  #default = new DefaultOrder();

  constructor(options: ExhaustiveOptions = {}) {
    const { deviations, merge = null } = options;
    const {
      reduce = deviations === undefined && merge === null,
      undeclared = 'anything',
      steps = 10_000,
    } = options;
    if (reduce && (deviations !== undefined || merge !== null))
      throw new RangeError(
        'a search with a bound on deviations, or one that merges states, cannot leave out equivalent runs',
      );
    this.#reduce = reduce;
    this.#mostSteps = steps;
    this.#deviations = deviations ?? Number.POSITIVE_INFINITY;
    this.#merge = merge;
    this.#digest = typeof undeclared === 'function' ? undeclared : null;
    this.#opaque = undeclared !== 'nothing';
    this.#onState = options.onState;
  }

  /**
   * Run the program once, under the next schedule.
   *
   * @param program - makes a machine with the given strategy, runs it and looks at what came of it. An error that it
   * throws comes out; the search may go on.
   */
  run(program: (strategy: SchedulerStrategy) => void): RunEnd {
    this.#depth = 1;
    this.#answers = 0;
    this.#ended = 0;
    this.#fresh = this.#length - 1;
    this.#default = new DefaultOrder();
    this.#log.clear();
    if (this.#reduce) this.#order.rewind(Math.max(this.#fresh - 1, 0));
    try {
      program(this.#strategy());
      this.#endStep();
      this.complete++;
      return 'complete';
    } catch (error) {
      if (error === REDUNDANT) return this.#count('redundant');
      if (error === CUT) return this.#count('cut');
      this.#endStep();
      this.#expand();
      this.complete++;
      throw error;
    } finally {
      this.steps += this.#depth - 1;
    }
  }

  /** Whether an error is one by which the search ends a run; a program that catches errors lets these pass. */
  isOwn(error: unknown): boolean {
    return error === REDUNDANT || error === CUT;
  }

  /** Prepare the next schedule; false when there is none. */
  next(): boolean {
    for (let depth = this.#length - 1; depth >= 0; depth--) {
      const node = this.#nodes[depth]!;
      if (node.nextValues(this.#deviations)) {
        this.#length = depth + 1;
        return true;
      }
      if (depth > 0 && node.nextTask()) {
        this.#length = depth + 1;
        return true;
      }
    }
    return false;
  }

  /** The present run's. */
  get schedule(): Schedule {
    const switches: Switch[] = [];
    const choices: ChoiceMade[] = [];
    let index = 0;
    for (let depth = 0; depth < this.#depth; depth++) {
      const node = this.#nodes[depth]!;
      if (depth > 0 && node.task !== node.byDefault) switches.push({ step: depth - 1, task: node.task });
      for (const value of node.values) {
        if (value !== 0) choices.push({ index, value });
        index++;
      }
    }
    return { switches, choices };
  }

  #strategy(): SchedulerStrategy {
    return {
      name: 'exhaustive',
      preemptive: true,
      timed: false,
      timeless: true,
      everyStep: true,
      accesses: this.#log,
      pick: (runnable) => this.#pick(runnable),
      choose: (n) => this.#choose(n),
    };
  }

  #count(end: 'redundant' | 'cut'): RunEnd {
    this[end]++;
    return end;
  }

  #pick(runnable: readonly TaskHandle[]): number {
    const depth = this.#depth;
    if (depth <= this.#fresh) return this.#repeat(runnable);
    this.#endStep();
    if (depth > this.#mostSteps) throw CUT;
    const node = (this.#nodes[depth] ??= new SearchNode());
    const byDefault = this.#default.pick(runnable);
    node.reset(maskOf(runnable), runnable[byDefault]!.id);
    this.#onState?.();
    this.#enter(node, runnable, byDefault);
    this.#length = depth + 1;
    return this.#go(node, runnable);
  }

  #repeat(runnable: readonly TaskHandle[]): number {
    const node = this.#nodes[this.#depth]!;
    if (node.enabled !== maskOf(runnable)) {
      throw new Error(`step ${this.#depth - 1} differs between two runs: the program is not deterministic`);
    }
    return this.#go(node, runnable);
  }

  #go(node: SearchNode, runnable: readonly TaskHandle[]): number {
    this.#depth++;
    this.#answers = 0;
    this.#log.clear();
    let index = 0;
    while (runnable[index]!.id !== node.task) index++;
    this.#default.ran(runnable[index]!);
    return index;
  }

  /** A state that was not met before on this path. */
  #enter(node: SearchNode, runnable: readonly TaskHandle[], byDefault: number): void {
    const parent = this.#nodes[this.#depth - 1]!;
    node.deviations = parent.deviationsAfter;
    if (!this.#reduce) {
      const known = this.#met.size;
      if (this.#merge !== null && this.#met.add(this.#merge(this.#depth - 1)).size === known) throw REDUNDANT;
      node.take(node.byDefault);
      if (node.deviations < this.#deviations) node.wanted = node.enabled;
      return;
    }
    if (this.#digest !== null) node.digest = this.#depth === 1 ? this.#digest() : this.#lastDigest;
    if (this.#depth > 1) this.#inheritSleep(node, parent);
    const awake = node.enabled & ~node.asleep;
    if (awake === 0) throw REDUNDANT;
    let index = byDefault;
    while ((awake & (1 << runnable[index]!.id)) === 0) index = (index + 1) % runnable.length;
    node.take(runnable[index]!.id);
  }

  /** Who slept, or was explored, at the parent sleeps on if the parent's step is independent of all it would do. */
  #inheritSleep(node: SearchNode, parent: SearchNode): void {
    let candidates = (parent.asleep | parent.done) & ~(1 << parent.task);
    while (candidates !== 0) {
      const task = 31 - Math.clz32(candidates & -candidates);
      candidates &= candidates - 1;
      const footprint = parent.footprints[task]!;
      if (this.#dependent(footprint)) continue;
      node.asleep |= 1 << task;
      node.footprints[task] = footprint;
    }
  }

  /** Whether the step just made depends on a footprint. */
  #dependent({ entries, polled }: Footprint): boolean {
    const log = this.#log;
    if (polled || log.polled) return true;
    for (const entry of entries) {
      for (let i = 0; i < log.length; i++) {
        const other = log.entries[i]!;
        if (other >> 1 === entry >> 1 && ((other | entry) & 1) === 1) return true;
      }
    }
    return false;
  }

  /** The step before is complete: what did it touch, and with what does it race? */
  #endStep(): void {
    if (!this.#reduce || this.#ended === this.#depth || this.#depth === 1) return;
    this.#ended = this.#depth;
    const log = this.#log;
    const node = this.#nodes[this.#depth - 1]!;
    if (this.#opaque) {
      const before = node.digest;
      if (this.#digest !== null) this.#lastDigest = this.#digest();
      if (this.#digest !== null && this.#lastDigest === before) log.add(2 * UNDECLARED);
      else log.add(2 * UNDECLARED + 1);
    }
    node.touched(log.entries, log.length, log.polled);
    for (const earlier of this.#order.step(node.task, log)) this.#reverse(earlier);
  }

  /** The run ended early: what the others would have done is unknown, so everybody has to be tried everywhere. */
  #expand(): void {
    if (!this.#reduce) return;
    for (let depth = 1; depth < this.#depth; depth++)
      this.#nodes[depth]!.wanted |= this.#nodes[depth]!.enabled;
  }

  /**
   * The last step races with an earlier one: see to it that an order is tried in which it comes first, which begins
   * with somebody who comes before neither of them. Who polls may have been kept from going there; then everybody is
   * tried.
   */
  #reverse(earlier: number): void {
    const node = this.#nodes[earlier + 1]!;
    const initials = this.#order.initials(earlier);
    if ((initials & node.wanted) !== 0) return;
    const possible = initials & node.enabled;
    node.wanted |= possible === 0 ? node.enabled : possible & -possible;
  }

  #choose(n: number): number {
    const node = this.#nodes[this.#depth - 1]!;
    const at = this.#answers++;
    if (at === node.values.length) {
      node.values.push(0);
      node.counts.push(n);
    } else if (node.counts[at] !== n) {
      throw new Error(
        `choice ${at} of step ${this.#depth - 2} differs between two runs: the program is not deterministic`,
      );
    }
    return node.values[at]!;
  }
}
