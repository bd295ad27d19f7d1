import { expect, test } from 'vitest';
import { BEYOND_SECTION_8 } from '../src/oracle/beyond-section8.ts';
import { compareTranscripts, describeDifference } from '../src/oracle/compare.ts';
import { EDGE_PROGRAMS } from '../src/oracle/edge-programs.ts';
import { interpret } from '../src/oracle/interpret.ts';
import type { OracleBackend } from '../src/oracle/oracle-model.ts';
import { runOracle } from '../src/oracle/run-oracle.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { kernel } from './kernels.ts';

test.each<[IommuKind, OracleBackend]>([
  ['intel', 'vtd'],
  ['amd', 'amdv1'],
])('what the specification does not list is the same on %s and in the model', async (iommu, backend) => {
  const programs = [...BEYOND_SECTION_8, ...EDGE_PROGRAMS];
  const { transcripts } = await runOracle({ kernel: await kernel('7.3'), iommu, programs });
  const model = programs.map((program) => interpret(program, { backend }).transcript);
  const differences = compareTranscripts(transcripts, model);
  expect(differences.map((difference) => describeDifference(difference, programs))).toEqual([]);
  // Not one of the lines is a mistake of ours.
  expect(transcripts.flatMap(({ lines }) => lines).filter((line) => line.endsWith('= syntax'))).toEqual([]);
});
