import {
  type DmaCounterName,
  dmaCounters,
  type DmaDeviceOptions,
  IO_PAGE_TABLES,
  type IoPageTableName,
  type IommuMode,
} from '@gpusvm/dma-iova';
import type { KernelProfileName } from '@gpusvm/kernel';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LegalProgram, type Step, STEP_KINDS } from './legal-program.ts';
import { rig } from './rig.ts';

/** Programs in all; see issue 3. */
const PROGRAMS = 10_000;

const COUNTED: readonly DmaCounterName[] = [
  'callLink',
  'callSync',
  'callUnlink',
  'callMap',
  'callUnmap',
  'swiotlb',
  'fqEnt',
];

interface Config {
  readonly mode: IommuMode;
  readonly profile: KernelProfileName;
  readonly device: Partial<DmaDeviceOptions>;
  /** Allocations fail now and then. */
  readonly failing: boolean;
}

/** The ledger counts in pages of 4 KiB; larger granules are not told to it yet. */
function fourKib(name: IoPageTableName): boolean {
  return IO_PAGE_TABLES[name].granuleOrder === 0;
}

const config: fc.Arbitrary<Config> = fc.record({
  mode: fc.constantFrom<IommuMode[]>('none', 'swiotlb', 'strict', 'strict', 'strict', 'lazy', 'lazy', 'lazy'),
  profile: fc.constantFrom<KernelProfileName[]>('linux-7.3', 'linux-7.3', 'linux-7.2', 'linux-6.12'),
  device: fc.record({
    ioPageTable: fc.constantFrom(...(Object.keys(IO_PAGE_TABLES) as IoPageTableName[]).filter(fourKib)),
    iovaAllocator: fc.constantFrom<('linux-rbtree' | 'segment-tree')[]>(
      'linux-rbtree',
      'linux-rbtree',
      'linux-rbtree',
      'segment-tree',
    ),
    coherent: fc.boolean(),
    untrusted: fc.boolean(),
    cachingMode: fc.boolean(),
    forcedac: fc.boolean(),
    flushQueue: fc.constantFrom<('per-cpu' | 'single')[]>(...Array<'per-cpu'>(15).fill('per-cpu'), 'single'),
  }),
  failing: fc.boolean(),
});
/** Steps from a seed: drawing them one by one from fast-check would take longer than running them. */
function* steps(seed: number, count: number): Generator<Step> {
  let state = seed | 1;
  const next = (): number => {
    state = Math.imul(state, 0x5bd1e995) + 0x3c6ef35f;
    return ((state ^ (state >>> 15)) >>> 0) % 0x10000;
  };
  for (let i = 0; i < count; i++) yield [next() % STEP_KINDS, next(), next(), next()];
}

it(`${PROGRAMS} random legal programs in every mode and page-table format are silent`, {
  timeout: 120_000,
}, () => {
  const done = new Map<string, number>();
  fc.assert(
    fc.property(config, fc.nat(), fc.integer({ min: 10, max: 80 }), (o, seed, count) => {
      const r = rig(o.mode, { ...o.device, swiotlbPages: 2048 }, {}, { profile: o.profile });
      const program = new LegalProgram(r, o.failing);
      program.step([0, 10, 0, 0]);
      program.step([0, 3, 0, 0]);
      program.step([1, 30, 5, 0]);
      for (const step of steps(seed, count)) program.step(step);
      program.finish();
      const dma = dmaCounters(r.machine);
      for (const name of COUNTED) done.set(name, (done.get(name) ?? 0) + dma.get(name));
      r.sanitizer.releaseDevice(r.dev);
      r.dev.destroy();
      const found = r.sanitizer.finish().map((report) => report.message);
      const left = r.machine.ledger.live().map(({ kind, detail }) => `${kind}: ${detail}`);
      expect([...found, ...left, r.machine.warnings].join('\n')).toBe('0');
    }),
    { numRuns: PROGRAMS },
  );
  // The programs really do something.
  for (const name of COUNTED) expect(done.get(name)).toBeGreaterThan(PROGRAMS);
});
