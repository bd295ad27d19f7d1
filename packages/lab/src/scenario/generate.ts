import { Choice } from '@gpusvm/kernel';
import {
  ADVICES,
  type Advice,
  type DeviceDecl,
  type DeviceOp,
  type Expectation,
  type Feature,
  type KernelName,
  type ProcessOp,
  type Protection,
  type Range,
  type Scenario,
  type Step,
  type ValueRun,
} from './ast.ts';
import { runScenario } from './model/run.ts';
import { NOT_COMPARED } from './not-compared.ts';

/** What random scenarios may contain. */
export interface GenerateOptions {
  readonly seed: number;
  readonly kernel: KernelName;
  /** What the kernel and the machine offer; the scenario needs nothing else. */
  readonly features: readonly Feature[];
  /** Steps at most; default 16. */
  readonly steps?: number;
}

const ANYTHING: Expectation = { results: [{ kind: 'any' }], pages: null, faults: null };
const SIZES = [1, 2, 4, 8];
const PROTECTIONS: readonly Protection[] = ['rw', 'rw', 'r', 'none'];
const DEVICE_RANGE_OPS = [
  'read',
  'migrate',
  'migrate',
  'migrate',
  'back',
  'snapshot',
  'snapshot',
  'exclusive',
  'check-exclusive',
] as const;

/**
 * A random scenario for comparing the model with a kernel: the same seed and options give the same scenario. Any outcome
 * is allowed; {@link withAnswers} turns what came out into what must come out. Steps that the test module of a real
 * kernel does not survive (findings F2 and F7, evictions that wait for ever) are left out, and so is {@link NOT_COMPARED}.
 */
export function generateScenario(o: GenerateOptions): Scenario {
  let scenario = new Generator(o).scenario();
  for (;;) {
    const { unsafe } = runScenario(scenario, { kernel: o.kernel });
    const line = unsafe === null ? null : /^line (\d+)/.exec(unsafe);
    if (line === null) return scenario;
    scenario = withSteps(
      scenario,
      stepsOf(scenario).filter((step) => step.line !== Number(line[1])),
    );
  }
}

/** The steps of a scenario without races. */
export function stepsOf(scenario: Scenario): readonly Step[] {
  return scenario.blocks.flatMap((block) => (block.kind === 'steps' ? block.steps : []));
}

/** The scenario with other steps in one block. */
export function withSteps(scenario: Scenario, steps: readonly Step[]): Scenario {
  return { ...scenario, blocks: [{ kind: 'steps', steps }], must: [] };
}

class Generator {
  readonly #o: GenerateOptions;
  readonly #choice: Choice;
  readonly #devices: DeviceDecl[];
  readonly #buffers = new Map<string, number>();
  /** Buffers that were ever mapped shared, or moved from one. */
  readonly #shared = new Set<string>();
  readonly #processes = ['A'];
  readonly #pins: { name: string; process: string }[] = [];
  readonly #steps: Step[] = [];
  #names = 0;

  constructor(o: GenerateOptions) {
    this.#o = o;
    this.#choice = new Choice(o.seed);
    this.#devices = [
      { name: 'd0', type: 'private' },
      { name: 'd1', type: 'private' },
    ];
    if (o.features.includes('coherent')) this.#devices.push({ name: 'd2', type: 'coherent' });
  }

  scenario(): Scenario {
    for (const { name } of this.#devices) this.#push('A', { op: 'open', device: name });
    this.#mmap('A');
    const wanted = this.#o.steps ?? 16;
    while (this.#steps.length < wanted) this.#step();
    const blocks = [{ kind: 'steps' as const, steps: this.#steps }];
    const base = { about: [], kernels: [this.#o.kernel], needs: this.#o.features, must: [] };
    return { name: `random-${this.#o.kernel}-${this.#o.seed}`, ...base, devices: this.#devices, blocks };
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#choice.choose(list.length)]!;
  }

  #has(feature: Feature): boolean {
    return this.#o.features.includes(feature);
  }

  #push(process: string, what: ProcessOp | DeviceOp, device: string | null = null): void {
    if (NOT_COMPARED.some(({ applies }) => applies(what, this.#isShared(what)))) return;
    if (what.op === 'mmap' && what.flags.includes('shared')) this.#shared.add(what.buffer);
    if (what.op === 'mremap' && this.#isShared(what)) this.#shared.add(what.buffer);
    this.#steps.push({ only: [], process, device, what, expect: ANYTHING, line: this.#steps.length + 1 });
  }

  #isShared(what: ProcessOp | DeviceOp): boolean {
    return 'range' in what && this.#shared.has(what.range.buffer);
  }

  #mmap(process: string): void {
    const thp = this.#has('thp') && this.#choice.choose(2) === 0;
    const buffer = this.#buffers.size < 3 ? `b${this.#buffers.size}` : this.#pick([...this.#buffers.keys()]);
    const pages = this.#buffers.get(buffer) ?? (thp ? this.#pick([512, 512, 600]) : this.#pick(SIZES));
    this.#buffers.set(buffer, pages);
    const shared = this.#choice.choose(8) === 0;
    const flags = [...(shared ? (['shared'] as const) : []), ...(thp && !shared ? (['thp'] as const) : [])];
    this.#push(process, { op: 'mmap', buffer, pages, prot: this.#pick(PROTECTIONS), flags });
  }

  /** A range of a random buffer: all of it, one page, or a part. */
  #range(): Range {
    const buffer = this.#pick([...this.#buffers.keys()]);
    const pages = this.#buffers.get(buffer)!;
    const kind = this.#choice.choose(3);
    if (kind === 0) return { buffer, from: 0, to: -1 };
    const from = this.#choice.choose(pages);
    if (kind === 1) return { buffer, from, to: from + 1 };
    return { buffer, from, to: from + 1 + this.#choice.choose(pages - from) };
  }

  #values(): ValueRun[] {
    return [{ value: 1 + this.#choice.choose(1000), count: 1, up: this.#choice.choose(2) === 0 }];
  }

  #step(): void {
    const process = this.#pick(this.#processes);
    const kind = this.#choice.choose(20);
    if (kind < 8) this.#deviceStep(process);
    else if (kind < 13) this.#access(process);
    else if (kind < 18) this.#change(process);
    else this.#rare(process);
  }

  #deviceStep(process: string): void {
    const device = this.#pick(this.#devices).name;
    const kind = this.#choice.choose(12);
    if (kind === 0) this.#push(process, { op: 'release' }, device);
    else if (kind === 1) this.#push(process, { op: 'fail-alloc' }, device);
    else if (kind < 4)
      this.#push(process, { op: 'write', range: this.#range(), values: this.#values() }, device);
    else this.#push(process, { op: this.#pick(DEVICE_RANGE_OPS), range: this.#range() }, device);
  }

  #access(process: string): void {
    const range = this.#range();
    const kind = this.#choice.choose(4);
    if (kind < 2) this.#push(process, { op: 'write', range, values: this.#values() });
    else this.#push(process, { op: kind === 2 ? 'read' : 'peek', range });
  }

  #change(process: string): void {
    const range = this.#range();
    switch (this.#choice.choose(7)) {
      case 0:
        this.#push(process, { op: 'munmap', range });
        break;
      case 1:
      case 2:
        this.#push(process, { op: 'mprotect', range, prot: this.#pick(PROTECTIONS) });
        break;
      case 3:
        if (this.#has('swap')) this.#push(process, { op: 'swap', range });
        break;
      case 4:
        this.#mmap(process);
        break;
      case 5:
        this.#mremap(process, range);
        break;
      default:
        this.#push(process, { op: 'madvise', range, advice: this.#advice() });
    }
  }

  #advice(): Advice {
    const known = this.#has('swap') ? ADVICES : ADVICES.filter((advice) => advice !== 'pageout');
    return this.#pick(this.#has('thp') ? known : known.filter((advice) => advice !== 'collapse'));
  }

  #mremap(process: string, range: Range): void {
    if (this.#names === 3) return;
    const buffer = `m${this.#names++}`;
    const pages = (range.to === -1 ? this.#buffers.get(range.buffer)! : range.to) - range.from;
    const at = this.#pick([0, 0, 128]);
    this.#buffers.set(buffer, at + pages);
    this.#push(process, { op: 'mremap', range, buffer, at, dontUnmap: this.#choice.choose(4) === 0 });
  }

  #rare(process: string): void {
    const kind = this.#choice.choose(3);
    if (kind === 0 && this.#processes.length < 3) {
      const child = ['B', 'C'][this.#processes.length - 1]!;
      this.#push(process, { op: 'fork', child });
      this.#processes.push(child);
    } else if (kind === 1 && this.#has('gup') && this.#pins.length === 0) {
      this.#pins.push({ name: `p${this.#steps.length}`, process });
      const range = { ...this.#range() };
      const one = { ...range, to: range.from + 1 };
      this.#push(process, { op: 'pin', range: one, pin: this.#pins[0]!.name, flags: ['write', 'get'] });
    } else {
      this.#push(process, { op: 'read', range: this.#range() });
    }
  }
}
