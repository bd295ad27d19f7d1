import fc from 'fast-check';
import { type Capture, type CaptureVma, PageFlag, type VmaKind } from '../../src/capture/capture.ts';
import { PageRunsBuilder } from '../../src/capture/page-runs.ts';
import { modelPhysical } from '../../src/capture/physical-model.ts';

interface RunPlan {
  readonly gap: number;
  readonly count: number;
  readonly pfn: number;
  readonly order: number;
  readonly flags: number;
  readonly pmd: boolean;
}

interface VmaPlan {
  readonly gap: number;
  readonly kind: VmaKind;
  readonly bits: number;
  readonly name: string | undefined;
  readonly runs: readonly RunPlan[];
}

const runPlan: fc.Arbitrary<RunPlan> = fc.record({
  gap: fc.nat({ max: 2000 }),
  count: fc.integer({ min: 1, max: 400 }),
  pfn: fc.nat({ max: 2 ** 31 - 1 }),
  order: fc.nat({ max: 18 }),
  flags: fc.constantFrom(
    0,
    PageFlag.ANON,
    PageFlag.SHARED,
    PageFlag.ANON | PageFlag.SHARED,
    PageFlag.SWAPPED,
  ),
  pmd: fc.boolean(),
});

const vmaPlan: fc.Arbitrary<VmaPlan> = fc.record({
  gap: fc.nat({ max: 2 ** 31 - 1 }),
  kind: fc.constantFrom('anon', 'heap', 'stack', 'file', 'special'),
  bits: fc.nat({ max: 31 }),
  name: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
  runs: fc.array(runPlan, { maxLength: 8 }),
});

function appendRun(builder: PageRunsBuilder, after: number, plan: RunPlan): number {
  const start = after + plan.gap;
  if (plan.flags === PageFlag.SWAPPED) {
    builder.append(start, plan.count, 0, 0, plan.flags);
    return start + plan.count;
  }
  if (!plan.pmd) {
    builder.append(start, plan.count, plan.pfn, plan.order, plan.flags);
    return start + plan.count;
  }
  const aligned = Math.ceil(start / 512) * 512;
  const pfn = Math.floor(plan.pfn / 512) * 512;
  builder.append(aligned, 1024, pfn, Math.max(9, plan.order), plan.flags | PageFlag.PMD_MAPPED);
  return aligned + 1024;
}

/** Any valid capture, captured or modelled, of a few VMAs. */
export const anyCapture: fc.Arbitrary<Capture> = fc
  .record({
    seed: fc.option(fc.nat(), { nil: undefined }),
    ramPages: fc.option(fc.integer({ min: 1, max: 2 ** 30 }), { nil: undefined }),
    note: fc.option(fc.string({ unit: 'grapheme', maxLength: 30 }), { nil: undefined }),
    plans: fc.array(vmaPlan, { maxLength: 6 }),
  })
  .map(({ seed, ramPages, note, plans }) => {
    const builder = new PageRunsBuilder();
    const vmas: CaptureVma[] = [];
    let page = 0;
    for (const { gap, kind, bits, name, runs } of plans) {
      const startPage = page + gap;
      page = startPage;
      for (const run of runs) page = appendRun(builder, page, run);
      builder.seal();
      page += 1;
      vmas.push({
        startPage,
        endPage: page,
        prot: { read: (bits & 1) !== 0, write: (bits & 2) !== 0, exec: (bits & 4) !== 0 },
        shared: (bits & 8) !== 0,
        kind,
        hugetlb: (bits & 16) !== 0,
        io: runs.length === 0 && gap % 2 === 0,
        ...(name === undefined ? {} : { name }),
      });
    }
    const runs = builder.finish();
    return {
      version: 1,
      physical: seed === undefined ? 'captured' : 'modelled',
      pageSize: 4096,
      ...(seed === undefined ? {} : { seed }),
      info: note === undefined ? {} : { note },
      vmas,
      runs: seed === undefined ? runs : modelPhysical(vmas, runs, seed, ramPages),
      ...(ramPages === undefined ? {} : { ramPages }),
    };
  });
