import { isFor } from './all-steps.ts';
import type { DeviceOp, KernelName, ProcessOp, Scenario, Step } from './ast.ts';
import { Layout } from './layout.ts';
import { expandValues, type Yield } from './values.ts';

/**
 * A scenario without names, for an interpreter that is small, such as a C program in a guest: one line a step, words
 * and numbers only, in this form:
 *
 * ```text
 * device 0 private
 * step INDEX PROCESS DEVICE OP PAGE PAGES ARGUMENTS...
 * race / thread INDEX / end
 * ```
 *
 * PROCESS, DEVICE and pins are numbers in order of appearance (DEVICE -1 = none), PAGE a virtual page number. Values to
 * write are given page by page as `VALUE*COUNT`. The interpreter answers every step with one line, see {@link printAnswer}.
 */
export function wireScenario(scenario: Scenario, kernel: KernelName): string {
  const wire = new Wire(scenario, kernel);
  const lines = scenario.devices.map((device, i) => `device ${i} ${device.type}`);
  for (const block of scenario.blocks) {
    if (block.kind === 'steps') {
      lines.push(...wire.steps(block.steps));
      continue;
    }
    lines.push('race');
    block.threads.forEach((thread, i) => {
      lines.push(`thread ${i}`, ...wire.steps(thread.steps));
    });
    lines.push('end');
  }
  lines.push(...wire.steps(scenario.must));
  return `${lines.join('\n')}\n`;
}

class Wire {
  readonly #layout: Layout;
  readonly #devices: readonly string[];
  readonly #processes: string[] = [];
  readonly #pins: string[] = [];
  #steps = 0;

  readonly #kernel: KernelName;

  constructor(scenario: Scenario, kernel: KernelName) {
    this.#kernel = kernel;
    this.#layout = new Layout(scenario);
    this.#devices = scenario.devices.map((d) => d.name);
  }

  /** The steps that this kernel does; the others keep their index, so that answers can be told apart. */
  steps(steps: readonly Step[]): string[] {
    const lines: string[] = [];
    for (const step of steps) {
      const index = this.#steps++;
      if (isFor(step, this.#kernel)) lines.push(this.#step(step, index));
    }
    return lines;
  }

  #step(step: Step, index: number): string {
    const process = number(this.#processes, step.process);
    const device = step.device === null ? -1 : this.#devices.indexOf(step.device);
    const { page, pages } = this.#place(step.what);
    const head = ['step', index, process, device, step.what.op, page, pages];
    return [...head, ...this.#arguments(step.what, pages)].join(' ');
  }

  #place(what: ProcessOp | DeviceOp): { page: number; pages: number } {
    if (what.op === 'mmap') return { page: this.#layout.buffer(what.buffer).page, pages: what.pages };
    return 'range' in what ? this.#layout.range(what.range) : { page: 0, pages: 0 };
  }

  #arguments(what: ProcessOp | DeviceOp, pages: number): (string | number)[] {
    if ('values' in what) return runsOf(expandValues(what.values, pages)!);
    if (what.op === 'mmap') return [what.prot, ...what.flags];
    if (what.op === 'mprotect') return [what.prot];
    if (what.op === 'mremap') {
      return [this.#layout.buffer(what.buffer).page + what.at, what.dontUnmap ? 1 : 0];
    }
    if (what.op === 'madvise') return [what.advice];
    if (what.op === 'fork') return [number(this.#processes, what.child)];
    if (what.op === 'open' || what.op === 'close') return [this.#devices.indexOf(what.device)];
    if (what.op === 'pin') return [number(this.#pins, what.pin), ...what.flags];
    if (what.op === 'unpin') return [number(this.#pins, what.pin)];
    return what.op === 'uffd' ? [what.value] : [];
  }
}

function number(names: string[], name: string): number {
  const known = names.indexOf(name);
  return known >= 0 ? known : names.push(name) - 1;
}

/** What an interpreter answers to a step: its index, `ok` or an errno, counts, values as `VALUE*COUNT`. */
export interface Answer extends Yield {
  readonly index: number;
  /** -1 where the step has no counts. */
  readonly pages: number;
  readonly faults: number;
}

/** An answer as a line: `INDEX ok|ERRNO PAGES FAULTS VALUE*COUNT...`. */
export function printAnswer(a: Answer): string {
  return [a.index, a.errno ?? 'ok', a.pages, a.faults, ...runsOf(a.values ?? [])].join(' ');
}

/** Read a line of {@link printAnswer}; null if it is none. */
export function parseAnswer(line: string): Answer | null {
  const match = /^(\d+) (ok|E[A-Z0-9]+) (-?\d+) (-?\d+)((?: \S+\*\d+)*)$/.exec(line.trim());
  if (match === null) return null;
  const values = match[5]!
    .split(' ')
    .filter((word) => word !== '')
    .flatMap((word) => {
      const [text, count] = word.split('*') as [string, string];
      return Array<number | string>(Number(count)).fill(/^\d+$/.test(text) ? Number(text) : text);
    });
  return {
    index: Number(match[1]),
    errno: match[2] === 'ok' ? null : match[2]!,
    pages: Number(match[3]),
    faults: Number(match[4]),
    values: values.length === 0 ? null : values,
  };
}

function runsOf(values: readonly (number | string)[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < values.length; ) {
    let same = 1;
    while (i + same < values.length && values[i + same] === values[i]) same++;
    out.push(`${values[i]}*${same}`);
    i += same;
  }
  return out;
}
