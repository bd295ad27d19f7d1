import { describe, expect, test } from 'vitest';
import { interpret } from '../src/oracle/interpret.ts';
import {
  type CallInvalidations,
  markPrograms,
  modelInvalidations,
  ordersOf,
  qemuInvalidations,
} from '../src/oracle/invalidations.ts';
import type { OracleMode, OracleProgram } from '../src/oracle/program.ts';
import { randomProgram } from '../src/oracle/random-program.ts';
import { runOracle } from '../src/oracle/run-oracle.ts';
import { programOf, recordedOrders } from '../src/oracle/section8/row.ts';
import { SECTION_8 } from '../src/oracle/section8/rows.ts';
import { kernel } from './kernels.ts';

const PROGRAMS = 200;
const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);

interface Counted {
  /** By program and call. */
  readonly qemu: readonly (readonly CallInvalidations[])[];
  readonly model: readonly (readonly CallInvalidations[])[];
}

/** Run programs on a VT-d without caching mode, as hardware has it, and list what each call invalidates. */
async function count(plain: readonly OracleProgram[]): Promise<Counted> {
  const { programs, markers } = markPrograms(plain);
  const { guest } = await runOracle({
    kernel: await kernel('7.3'),
    iommu: 'intel',
    programs,
    trace: { qemu: ['vtd_inv_desc_iotlb*'] },
    timeoutSeconds: 500,
  });
  const qemu = qemuInvalidations(guest.qemuTrace);
  const pick = (from: ReadonlyMap<number, CallInvalidations>, own: readonly number[]): CallInvalidations[] =>
    own.map((marker) => from.get(marker) ?? ['no marker']);
  return {
    qemu: markers.map((own) => pick(qemu, own)),
    model: markers.map((own, i) => {
      const { model } = interpret(programs[i]!, { backend: 'vtd' });
      return pick(modelInvalidations(model.invalidations), own);
    }),
  };
}

/** Calls whose invalidations differ. */
function differences(programs: readonly OracleProgram[], { qemu, model }: Counted): string[] {
  return programs.flatMap(({ lines }, i) =>
    lines.flatMap((line, k) => {
      const [ours, theirs] = [model[i]![k]!.join(' '), qemu[i]![k]!.join(' ')];
      return ours === theirs ? [] : [`program ${i}: ${line}: QEMU [${theirs}], model [${ours}]`];
    }),
  );
}

describe('what is invalidated, address and order', () => {
  test('is as recorded for the rows of section 8, in QEMU and in the model', async () => {
    const rows = SECTION_8.filter((row) => row.lines.some((line) => recordedOrders(line) !== null));
    const programs = rows.map(programOf);
    const counted = await count(programs);
    expect(rows.length).toBeGreaterThanOrEqual(12);
    expect(differences(programs, counted)).toEqual([]);
    const breaches = rows.flatMap((row, i) =>
      row.lines.flatMap((line, k) => {
        const recorded = recordedOrders(line);
        const found = ordersOf(counted.qemu[i]![k]!);
        if (recorded === null || recorded.join(' ') === found.join(' ')) return [];
        return [`row ${row.no}: ${line}: QEMU ${found.join(' ')}`];
      }),
    );
    expect(breaches).toEqual([]);
  });

  test.each<OracleMode>(['strict', 'lazy'])(
    `is the same in QEMU and in the model for ${PROGRAMS} random programs in a %s domain`,
    async (mode) => {
      const programs = Array.from({ length: PROGRAMS }, (_, i) => randomProgram(SEED * PROGRAMS + i, mode));
      expect(differences(programs, await count(programs)).slice(0, 20)).toEqual([]);
    },
  );
});
