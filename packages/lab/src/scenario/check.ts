import type { Range, Scenario, Step } from './ast.ts';
import { ScenarioError } from './scenario-error.ts';
import { expandValues } from './values.ts';

/**
 * Names that are used before they exist, ranges outside of their buffer, and values that do not fit are errors of the
 * text, not results of the scenario.
 *
 * @throws ScenarioError
 */
export function checkScenario(scenario: Scenario): void {
  const names = new Names(scenario);
  for (const block of scenario.blocks) {
    if (block.kind === 'steps') for (const step of block.steps) names.check(step);
    else for (const thread of block.threads) for (const step of thread.steps) names.check(step);
  }
  for (const step of scenario.must) names.check(step);
}

class Names {
  readonly #devices: Set<string>;
  readonly #processes = new Set<string>();
  readonly #buffers = new Map<string, number>();
  readonly #pins = new Set<string>();

  constructor(scenario: Scenario) {
    this.#devices = new Set(scenario.devices.map((d) => d.name));
    if (this.#devices.size !== scenario.devices.length) {
      throw new ScenarioError(1, 'two devices have the same name');
    }
  }

  check(step: Step): void {
    // The first process is there from the beginning; the others are born by fork.
    if (this.#processes.size === 0) this.#processes.add(step.process);
    if (!this.#processes.has(step.process)) {
      throw new ScenarioError(step.line, `there is no process '${step.process}': fork it first`);
    }
    const { what } = step;
    if ('range' in what) this.#range(what.range, step.line);
    if ('values' in what) this.#values(what.range, what.values, step.line);
    if (what.op === 'mmap') this.#grow(what.buffer, what.pages);
    else if (what.op === 'mremap') this.#grow(what.buffer, what.at + this.#pages(what.range));
    else if (what.op === 'fork') this.#fresh(this.#processes, what.child, 'process', step.line);
    else if (what.op === 'pin') this.#fresh(this.#pins, what.pin, 'pin', step.line);
    else if (what.op === 'unpin' && !this.#pins.has(what.pin)) {
      throw new ScenarioError(step.line, `there is no pin '${what.pin}'`);
    } else if ((what.op === 'open' || what.op === 'close') && !this.#devices.has(what.device)) {
      throw new ScenarioError(step.line, `there is no device '${what.device}': declare it first`);
    }
  }

  #grow(buffer: string, pages: number): void {
    this.#buffers.set(buffer, Math.max(pages, this.#buffers.get(buffer) ?? 0));
  }

  #fresh(set: Set<string>, name: string, kind: string, line: number): void {
    if (set.has(name))
      throw new ScenarioError(line, `there is a ${kind} '${name}' already: take another name`);
    set.add(name);
  }

  #range(range: Range, line: number): void {
    const pages = this.#buffers.get(range.buffer);
    if (pages === undefined)
      throw new ScenarioError(line, `there is no buffer '${range.buffer}': mmap it first`);
    if (range.from >= pages || range.to > pages) {
      throw new ScenarioError(line, `buffer '${range.buffer}' has ${pages} pages; the range goes beyond`);
    }
  }

  #values(range: Range, values: Parameters<typeof expandValues>[0], line: number): void {
    const pages = this.#pages(range);
    if (expandValues(values, pages) === null) {
      throw new ScenarioError(line, `the range has ${pages} pages; give one value, or one for each`);
    }
  }

  #pages(range: Range): number {
    return (range.to === -1 ? this.#buffers.get(range.buffer)! : range.to) - range.from;
  }
}
