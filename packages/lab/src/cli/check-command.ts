import { readFileSync } from 'node:fs';
import { parseSchedule, replay } from '@gpusvm/kernel';
import { Command, InvalidArgumentError } from 'commander';
import { answerText, type Checked, checkJson, checkText, holds } from '../report/check-report.ts';
import { exploreScenario } from '../scenario/model/explore.ts';
import {
  type KernelName,
  KERNELS,
  parseScenario,
  type Scenario,
  ScenarioError,
} from '../scenario/language.ts';
import { runScenario } from '../scenario/model/run.ts';
import { integer, oneOf } from './arguments.ts';
import { terminalProgress } from './progress.ts';
import { UserError } from './user-error.ts';

interface CheckFlags {
  readonly kernel: KernelName;
  readonly deviations: number;
  readonly most: number;
  readonly schedule?: string;
  readonly json?: true;
}

/** `gpusvm check FILE...`: does what the scenario demands hold on the model, for every schedule of its races? */
export function checkCommand(): Command {
  return new Command('check')
    .description(
      'Run scenarios on the model and check what they demand; one with a race under every schedule of its threads. Exit code 1 when one does not hold.',
    )
    .exitOverride()
    .argument('<file...>', 'scenarios, one a file (*.litmus); - is standard input')
    .option('--kernel <name>', `kernel to model: ${KERNELS.join(', ')}`, oneOf('a kernel', KERNELS), '7.3')
    .option(
      '--deviations <n>',
      'switches between the threads of a race that the scheduler would not make by itself, at most',
      integer('a number of deviations', 0, 20),
      2,
    )
    .option(
      '--most <n>',
      'stop after so many schedules',
      integer('a number of schedules', 1, 100_000_000),
      100_000,
    )
    .option('--schedule <schedule>', 'run one file under this schedule and show every step', schedule)
    .option('--json', 'print JSON')
    .action((files: readonly string[], flags: CheckFlags) => {
      const scenarios = files.map((file) => ({ file, scenario: load(file) }));
      if (flags.schedule !== undefined) return showOne(scenarios, flags, flags.schedule);
      const checked = scenarios.map(({ file, scenario }) => check(file, scenario, flags));
      if (!checked.every(holds)) process.exitCode = 1;
      process.stdout.write(flags.json === true ? checkJson(checked) : checkText(checked));
    });
}

function schedule(text: string): string {
  try {
    parseSchedule(text);
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}; copy it from what gpusvm check printed.`);
  }
  return text;
}

function load(file: string): Scenario {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new UserError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    return parseScenario(text);
  } catch (error) {
    if (error instanceof ScenarioError) throw new UserError(`${file}, ${error.message}`);
    throw error;
  }
}

function check(file: string, scenario: Scenario, flags: CheckFlags): Checked {
  const { kernel, deviations, most } = flags;
  if (scenario.kernels.length > 0 && !scenario.kernels.includes(kernel))
    return { file, scenario, kernel, exploration: null };
  const progress = terminalProgress();
  const onSchedule = (schedules: number): void => {
    if (schedules % 256 === 0) progress.step(`${scenario.name}: ${schedules} schedules`);
  };
  const exploration = exploreScenario(scenario, { kernel, deviations, mostSchedules: most, onSchedule });
  progress.clear();
  return { file, scenario, kernel, exploration };
}

/** The steps in the order in which they were done. */
function showOne(
  scenarios: readonly { readonly file: string; readonly scenario: Scenario }[],
  { kernel, json }: CheckFlags,
  text: string,
): void {
  const [only, second] = scenarios;
  if (only === undefined || second !== undefined)
    throw new UserError(
      `--schedule is for one file, not for ${scenarios.length}: a schedule fits one scenario only`,
    );
  const { file, scenario } = only;
  const run = runScenario(scenario, { kernel, strategy: replay(text) });
  if (run.failures.length > 0) process.exitCode = 1;
  if (json === true) {
    const outcome = { ...run, schedules: 1, schedule: text };
    const exploration = { outcomes: [outcome], schedules: 1, complete: false };
    process.stdout.write(checkJson([{ file, scenario, kernel, exploration }]));
    return;
  }
  const lines = run.answers.map((answer) => answerText(scenario, answer));
  lines.push(...run.failures.map((failure) => `FAILED ${failure}`));
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}
