import { expect, test } from 'vitest';
import { BOUNCE_PROGRAMS } from '../src/oracle/bounce-programs.ts';
import { compareTranscripts, describeDifference } from '../src/oracle/compare.ts';
import { interpret } from '../src/oracle/interpret.ts';
import type { OracleBackend } from '../src/oracle/oracle-model.ts';
import type { OracleMode, OracleProgram } from '../src/oracle/program.ts';
import { randomBounceProgram } from '../src/oracle/random-bounce.ts';
import { runOracle } from '../src/oracle/run-oracle.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { kernel } from './kernels.ts';

const PROGRAMS = 200;
const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);

/** Direct mappings look at no IOMMU: one of the two kinds is enough for them. */
test.each<[IommuKind, OracleBackend, readonly OracleMode[]]>([
  ['intel', 'vtd', ['untrusted', 'identity']],
  ['amd', 'amdv1', ['untrusted']],
])(
  'what is bounced, where to, and which bytes are copied is the same on %s and in the model',
  async (iommu, backend, modes) => {
    const random = modes.flatMap((mode) =>
      Array.from({ length: PROGRAMS }, (_, i) => randomBounceProgram(SEED * PROGRAMS + i, mode)),
    );
    const programs: readonly OracleProgram[] = [...BOUNCE_PROGRAMS, ...random];
    const { transcripts } = await runOracle({
      kernel: await kernel('7.3'),
      iommu,
      programs,
      kernelArguments: ['swiotlb=1024,1,force'],
      timeoutSeconds: 500,
    });
    const model = programs.map((program) => interpret(program, { backend, swiotlb: 'forced' }).transcript);
    const differences = compareTranscripts(transcripts, model);
    expect(
      differences.slice(0, 3).map((difference) => describeDifference(difference, programs)),
      `${differences.length} of ${programs.length} programs differ (seed ${SEED})`,
    ).toEqual([]);
    expect(transcripts.flatMap(({ lines }) => lines).filter((line) => line.endsWith('= syntax'))).toEqual([]);
  },
);
