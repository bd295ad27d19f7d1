import { classicOps } from './interpret-classic.ts';
import { bytesOps } from './interpret-bytes.ts';
import { rawOps } from './interpret-raw.ts';
import { reportOps } from './interpret-report.ts';
import { settingsOps } from './interpret-settings.ts';
import { syncOps } from './interpret-sync.ts';
import { twoStepOps } from './interpret-two-step.ts';
import { OracleModel, type OracleModelOptions } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import type { OracleProgram, OracleTranscript } from './program.ts';

const OPS: ReadonlyMap<string, OracleOp> = new Map(
  Object.entries({
    ...twoStepOps,
    ...classicOps,
    ...rawOps,
    ...reportOps,
    ...syncOps,
    ...bytesOps,
    ...settingsOps,
  }),
);

/** What the model did. */
export interface Interpretation {
  readonly transcript: OracleTranscript;
  readonly model: OracleModel;
}

/**
 * Run a program over `@gpusvm/dma-iova` (profile `linux-7.3`) and write the transcript that the kernel module
 * writes for it.
 */
export function interpret(program: OracleProgram, o: Omit<OracleModelOptions, 'mode'>): Interpretation {
  const model = new OracleModel({ ...o, mode: program.mode });
  const lines = program.lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => `${line} = ${runLine(model, line)}`);
  return { transcript: { reset: 0, lines }, model };
}

function runLine(model: OracleModel, line: string): string {
  const [name, ...words] = line.split(' ');
  const op = OPS.get(name!);
  const args = words.map((word) => (/^[0-9a-f]{1,16}$/.test(word) ? Number.parseInt(word, 16) : Number.NaN));
  if (op === undefined || args.length < op.min || args.length > op.max || args.some(Number.isNaN))
    return 'syntax';
  const result = op.call(model, args);
  const { warnings, notes } = model.takeLog();
  return [result, ...(warnings === 0 ? [] : [`!${warnings}`]), ...notes].join(' ');
}
