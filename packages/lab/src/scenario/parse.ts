import {
  type Block,
  type DeviceDecl,
  type Feature,
  FEATURES,
  KERNELS,
  type KernelName,
  type Scenario,
  type Step,
} from './ast.ts';
import { checkScenario } from './check.ts';
import { Cursor } from './cursor.ts';
import { parseStep } from './parse-step.ts';
import { ScenarioError } from './scenario-error.ts';

const DEVICE_TYPES = ['private', 'coherent'] as const;

/**
 * Parse a scenario. The grammar, one statement a line, `#` begins a comment:
 *
 * ```text
 * scenario NAME
 * about FREE TEXT
 * kernel 6.12 7.3            (default: all)
 * needs thp swap ...
 * device NAME private|coherent
 * STEP                       (process [device] operation ... [pages N] [faults N] [= RESULT [or RESULT]...])
 * race / thread NAME / end   (threads of steps against each other)
 * must                       (the steps that follow hold at the end, for every schedule)
 * ```
 *
 * @throws ScenarioError with the line and what to write instead.
 */
export function parseScenario(text: string): Scenario {
  const parser = new Parser();
  text.split('\n').forEach((raw, i) => {
    const code = raw.replace(/#.*$/, '').trim();
    if (code !== '') parser.statement(code, i + 1);
  });
  return parser.finish();
}

class Parser {
  #name: string | null = null;
  readonly #about: string[] = [];
  readonly #kernels: KernelName[] = [];
  readonly #needs: Feature[] = [];
  readonly #devices: DeviceDecl[] = [];
  readonly #blocks: Block[] = [];
  readonly #must: Step[] = [];
  #threads: { name: string; steps: Step[] }[] | null = null;
  #inMust = false;
  #line = 0;

  statement(code: string, line: number): void {
    this.#line = line;
    const c = new Cursor(code, line);
    const first = c.peek()!;
    if (this.#name === null && first !== 'scenario') throw c.error("a scenario begins with 'scenario NAME'");
    if (this.#header(c, first, code)) return;
    if (first === 'race' || first === 'thread' || first === 'end' || first === 'must') {
      c.word('keyword');
      this.#structure(c, first);
      return;
    }
    const step = parseStep(c, new Set(this.#devices.map((d) => d.name)));
    this.#target(c).push(step);
  }

  #header(c: Cursor, first: string, code: string): boolean {
    switch (first) {
      case 'scenario':
        c.word('keyword');
        if (this.#name !== null) throw c.error('a file holds one scenario');
        this.#name = c.word('the name of the scenario');
        break;
      case 'about':
        this.#about.push(code.slice('about'.length).trim());
        return true;
      case 'kernel':
        c.word('keyword');
        while (!c.atEnd) this.#kernels.push(c.oneOf(KERNELS, 'kernel'));
        break;
      case 'needs':
        c.word('keyword');
        while (!c.atEnd) this.#needs.push(c.oneOf(FEATURES, 'feature'));
        break;
      case 'device':
        c.word('keyword');
        this.#devices.push({ name: c.name('a device'), type: c.oneOf(DEVICE_TYPES, 'type of device') });
        break;
      default:
        return false;
    }
    c.end();
    return true;
  }

  #structure(c: Cursor, keyword: string): void {
    if (keyword === 'race') {
      if (this.#threads !== null || this.#inMust) throw c.error('a race cannot begin here');
      this.#threads = [];
    } else if (keyword === 'thread') {
      if (this.#threads === null) throw c.error("a thread needs a race around it: write 'race' first");
      this.#threads.push({ name: c.name('a thread'), steps: [] });
    } else if (keyword === 'end') {
      if (this.#threads === null) throw c.error("'end' without a race");
      if (this.#threads.length < 2) throw c.error('a race needs two threads at least');
      this.#blocks.push({ kind: 'race', threads: this.#threads });
      this.#threads = null;
    } else {
      if (this.#threads !== null) throw c.error("the race has no 'end'");
      this.#inMust = true;
    }
    c.end();
  }

  /** Where the next step belongs. */
  #target(c: Cursor): Step[] {
    if (this.#inMust) return this.#must;
    if (this.#threads !== null) {
      const thread = this.#threads.at(-1);
      if (thread === undefined)
        throw c.error("steps of a race belong to a thread: write 'thread NAME' first");
      return thread.steps;
    }
    const last = this.#blocks.at(-1);
    if (last?.kind === 'steps') return last.steps as Step[];
    const steps: Step[] = [];
    this.#blocks.push({ kind: 'steps', steps });
    return steps;
  }

  finish(): Scenario {
    if (this.#name === null) throw new ScenarioError(1, "a scenario begins with 'scenario NAME'");
    if (this.#threads !== null) throw new ScenarioError(this.#line, "the race has no 'end'");
    const scenario: Scenario = {
      name: this.#name,
      about: this.#about,
      kernels: this.#kernels,
      needs: this.#needs,
      devices: this.#devices,
      blocks: this.#blocks,
      must: this.#must,
    };
    checkScenario(scenario);
    return scenario;
  }
}
