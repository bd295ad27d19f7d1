import { describe, expect, test } from 'vitest';
import { bootGuest } from '../src/boot-guest.ts';
import { compareTranscripts, describeDifference } from '../src/oracle/compare.ts';
import { interpret } from '../src/oracle/interpret.ts';
import type { OracleBackend } from '../src/oracle/oracle-model.ts';
import { runOracle } from '../src/oracle/run-oracle.ts';
import { breaches, programOf } from '../src/oracle/section8/row.ts';
import { SECTION_8 } from '../src/oracle/section8/rows.ts';
import type { IommuKind } from '../src/qemu-arguments.ts';
import { kernel } from './kernels.ts';

describe.each<[IommuKind, OracleBackend]>([
  ['intel', 'vtd'],
  ['amd', 'amdv1'],
])('section 8 on %s', (iommu, backend) => {
  test.each([false, true])(
    'every row is as recorded, and as in the model (forcedac: %s)',
    async (forcedac) => {
      const rows = SECTION_8.filter((row) => row.forcedac === forcedac);
      const programs = rows.map(programOf);
      const { transcripts } = await runOracle({
        kernel: await kernel('7.3'),
        iommu,
        programs,
        kernelArguments: forcedac ? ['iommu.forcedac=1'] : [],
      });
      const model = programs.map((program) => interpret(program, { backend, forcedac }).transcript);
      const differences = compareTranscripts(transcripts, model);
      expect(differences.map((difference) => describeDifference(difference, programs))).toEqual([]);
      expect(rows.flatMap((row, i) => breaches(row, backend, transcripts[i]!.lines))).toEqual([]);
    },
  );

  // Row 4: a virtualised IOMMU that caches absent entries stays strict; the group's type file makes it lazy anyway.
  test('iommu.strict=0 is taken back where absent entries are cached', async () => {
    const type = 'T=$(echo /sys/bus/pci/devices/0000:00:04.0/iommu_group/type)';
    const typeOf = async (cachingMode: boolean): Promise<string> => {
      const guest = await bootGuest({
        kernel: await kernel('7.3'),
        iommu,
        cachingMode,
        kernelArguments: ['iommu.strict=0'],
        command: `${type}; cat $T; echo DMA-FQ >$T; cat $T`,
      });
      return guest.output;
    };
    expect(await typeOf(true)).toBe('DMA\nDMA-FQ');
    // An emulated AMD-Vi caches absent entries always.
    expect(await typeOf(false)).toBe(iommu === 'intel' ? 'DMA-FQ\nDMA-FQ' : 'DMA\nDMA-FQ');
  });
});

test('row 5 without an IOMMU: no reservation, DMA address = physical address', async () => {
  const rows = SECTION_8.filter((row) => row.mode === 'identity');
  const programs = rows.map(programOf);
  const { transcripts } = await runOracle({ kernel: await kernel('7.3'), iommu: 'none', programs });
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.flatMap((row, i) => breaches(row, 'vtd', transcripts[i]!.lines))).toEqual([]);
});
