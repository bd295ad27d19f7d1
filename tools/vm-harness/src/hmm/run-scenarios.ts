import {
  type Answer,
  type KernelName,
  parseAnswer,
  printScenario,
  type Scenario,
  wireScenario,
} from '@gpusvm/lab/scenario-language';
import { bootGuest, GuestError, type GuestOptions, type GuestResult } from '../boot-guest.ts';
import type { BuiltKernel } from '../kernel-build.ts';
import { buildInterpreter } from './build-interpreter.ts';

/** Scenarios, and the kernel to run them on. */
export interface ScenarioRunOptions {
  readonly kernel: BuiltKernel;
  readonly scenarios: readonly Scenario[];
  /** Default 300. */
  readonly timeoutSeconds?: number;
}

/** The answers of each scenario, and what else the guest left. */
export interface ScenarioRuns {
  readonly answers: readonly (readonly Answer[])[];
  readonly guest: GuestResult;
}

/** The kernel died in a scenario. */
export class ScenarioDeath extends Error {
  override readonly name = 'ScenarioDeath';
  /** Index of the scenario in the batch. */
  readonly index: number;

  constructor(scenario: Scenario, index: number, cause: GuestError) {
    super(`the kernel died in this scenario:\n${printScenario(scenario)}\n${cause.message}`, { cause });
    this.index = index;
  }
}

/** Where the memory of the coherent devices is, out of the kernel's sight. */
const COHERENT = ['memmap=512M$1G', 'test_hmm.spm_addr_dev0=0x40000000', 'test_hmm.spm_addr_dev1=0x50000000'];

/**
 * Huge pages where a scenario asks for them and nowhere else, so khugepaged looks at one page and then sleeps for good
 * (0 pages are not allowed); a swap device; some pages for hugetlb.
 */
const COMMAND = `
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
echo always >/sys/kernel/mm/transparent_hugepage/defrag
echo 1 >/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan
echo 4294967295 >/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
echo 16 >/proc/sys/vm/nr_hugepages
i=0; while [ ! -b /dev/nvme0n1 ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
mkswap /dev/nvme0n1 >/dev/null && swapon /dev/nvme0n1 || exit 3
cp hmm-scenario /tmp/hmm-scenario && chmod +x /tmp/hmm-scenario
/tmp/hmm-scenario <scenarios >answers
`;

/**
 * Run scenarios on the kernel itself, on its test_hmm module, one after the other in one boot.
 *
 * @throws ScenarioDeath when the kernel died in a scenario, GuestError when it did so elsewhere; Error when the
 * interpreter failed or a scenario has no answers.
 */
export async function runScenarios(o: ScenarioRunOptions): Promise<ScenarioRuns> {
  const name = o.kernel.version as KernelName;
  const wires = o.scenarios.map((scenario, i) => `scenario ${i}\n${wireScenario(scenario, name)}`);
  const guest = await bootFor(o.scenarios, {
    kernel: o.kernel,
    iommu: 'none',
    memoryMib: 3072,
    kernelArguments: COHERENT,
    modules: ['nvme-core.ko', 'nvme.ko'],
    files: { scenarios: wires.join('') },
    binaries: { 'hmm-scenario': await buildInterpreter() },
    results: ['answers'],
    command: COMMAND,
    timeoutSeconds: o.timeoutSeconds ?? 300,
  });
  if (guest.exitCode !== 0) {
    throw new Error(`the interpreter ended with status ${guest.exitCode}: ${guest.output}`);
  }
  const answers = parseAnswers(guest.files.get('answers') ?? '');
  if (answers.length !== o.scenarios.length) {
    throw new Error(`${o.scenarios.length} scenarios gave ${answers.length} lists of answers`);
  }
  return { answers, guest };
}

/** Boot; when the guest dies, find out in which scenario it did. */
async function bootFor(scenarios: readonly Scenario[], options: GuestOptions): Promise<GuestResult> {
  try {
    return await bootGuest(options);
  } catch (error) {
    const begun = error instanceof GuestError ? [...error.output.matchAll(/^scenario (\d+)$/gm)] : [];
    const last = begun.at(-1);
    if (last === undefined) throw error;
    throw new ScenarioDeath(scenarios[Number(last[1])]!, Number(last[1]), error as GuestError);
  }
}

/** Answers by scenario. */
export function parseAnswers(text: string): Answer[][] {
  const out: Answer[][] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('scenario ')) out.push([]);
    else if (line !== '') {
      const answer = parseAnswer(line);
      if (answer === null || out.length === 0) throw new Error(`no answer of a scenario: '${line}'`);
      out.at(-1)!.push(answer);
    }
  }
  return out;
}
