import { describe, expect, test } from 'vitest';
import { compareTranscripts, describeDifference, type OracleDifference } from '../src/oracle/compare.ts';
import { interpret } from '../src/oracle/interpret.ts';
import type { OracleBackend } from '../src/oracle/oracle-model.ts';
import type { OracleMode, OracleProgram, OracleTranscript } from '../src/oracle/program.ts';
import { randomProgram } from '../src/oracle/random-program.ts';
import { runOracle } from '../src/oracle/run-oracle.ts';
import { shrinkProgram } from '../src/oracle/shrink.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { kernel } from './kernels.ts';

const PROGRAMS = 1000;
/** GPUSVM_VM_SEED explores other programs than the recorded ones. */
const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);

const model = (programs: readonly OracleProgram[], backend: OracleBackend): OracleTranscript[] =>
  programs.map((program) => interpret(program, { backend }).transcript);

async function onKernel(
  programs: readonly OracleProgram[],
  iommu: IommuKind,
): Promise<readonly OracleTranscript[]> {
  const run = await runOracle({ kernel: await kernel('7.3'), iommu, programs, timeoutSeconds: 500 });
  return run.transcripts;
}

describe.each<[IommuKind, OracleBackend]>([
  ['intel', 'vtd'],
  ['amd', 'amdv1'],
])('on %s', (iommu, backend) => {
  test.each<OracleMode>(['strict', 'lazy'])(
    `${PROGRAMS} random programs in a %s domain give the same transcript in the kernel and in the model`,
    async (mode) => {
      const programs = Array.from({ length: PROGRAMS }, (_, i) => randomProgram(SEED * PROGRAMS + i, mode));
      const differences = async (candidates: readonly OracleProgram[]): Promise<OracleDifference[]> =>
        compareTranscripts(await onKernel(candidates, iommu), model(candidates, backend));
      const once = await differences(programs);
      if (once.length === 0) return;
      // The same program gives the same transcript: what does not come again is the machine's doing, and is shown only.
      process.stderr.write(`${describeDifference(once[0]!, programs)}\n`);
      const [first] = await differences(programs);
      if (first === undefined) return;
      const fails = async (candidates: readonly OracleProgram[]): Promise<boolean[]> => {
        const found = await differences(candidates);
        return candidates.map((_, i) => found.some(({ program }) => program === i));
      };
      const small = [await shrinkProgram(programs[first.program]!, fails)];
      const [shrunk] = await differences(small);
      const shown =
        shrunk === undefined ? describeDifference(first, programs) : describeDifference(shrunk, small);
      expect.fail(`${once.length} of ${PROGRAMS} programs differ (seed ${SEED}); ${shown}`);
    },
  );
});
