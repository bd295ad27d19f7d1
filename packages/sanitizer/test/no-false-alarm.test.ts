import {
  DmaDevice,
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
import { type Buffer, LegalProgram, type Step, STEP_KINDS } from './legal-program.ts';
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
  /** A second device of the same machine. */
  readonly other: Partial<DmaDeviceOptions> & { readonly iommu: IommuMode };
  /** Allocations fail now and then. */
  readonly failing: boolean;
}

const mode = fc.constantFrom<IommuMode[]>(
  'none',
  'swiotlb',
  'strict',
  'strict',
  'strict',
  'lazy',
  'lazy',
  'lazy',
);
const device: fc.Arbitrary<Partial<DmaDeviceOptions>> = fc.record({
  ioPageTable: fc.constantFrom(...(Object.keys(IO_PAGE_TABLES) as IoPageTableName[])),
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
  ats: fc.boolean(),
  dmaMaskBits: fc.constantFrom(48, 48, 44, 41),
  minAlignMask: fc.constantFrom(0, 0, 4095),
  kmallocAlignBytes: fc.constantFrom(0, 0, 128),
  flushQueue: fc.constantFrom<('per-cpu' | 'single')[]>(...Array<'per-cpu'>(15).fill('per-cpu'), 'single'),
});
const config: fc.Arbitrary<Config> = fc.record({
  mode,
  profile: fc.constantFrom<KernelProfileName[]>('linux-7.3', 'linux-7.3', 'linux-7.2', 'linux-6.12'),
  device,
  other: fc.tuple(mode, device).map(([iommu, o]) => ({ iommu, ...o })),
  failing: fc.boolean(),
});

const PLAIN: Partial<DmaDeviceOptions> = {
  ioPageTable: 'vtd',
  iovaAllocator: 'linux-rbtree',
  untrusted: false,
  forcedac: false,
  flushQueue: 'per-cpu',
};
/** A coherent allocation fails behind its first block, and a read-only mapping takes the same address. */
const UNDONE_MAP: [Config, number, number] = [
  {
    mode: 'lazy',
    profile: 'linux-7.3',
    device: { ...PLAIN, coherent: false, cachingMode: false },
    other: { ...PLAIN, iommu: 'strict', iovaAllocator: 'segment-tree', coherent: true, cachingMode: true },
    failing: true,
  },
  111078632,
  63,
];

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
  timeout: 600_000,
}, () => {
  const done = new Map<string, number>();
  fc.assert(
    fc.property(config, fc.nat(), fc.integer({ min: 10, max: 80 }), (o, seed, count) => {
      const r = rig(o.mode, { ...o.device, swiotlbPages: 2048 }, {}, { profile: o.profile });
      const second = new DmaDevice(r.machine, r.memory, { name: 'nic', ...o.other, swiotlbPages: 2048 });
      const shares = [r.dev, second].every(
        (dev) => dev.coherent && dev.swiotlb === null && dev.granulePages === 1,
      );
      const buffers: Buffer[] = [];
      const programs = [r.dev, second].map(
        (dev) => new LegalProgram(r, dev, o.failing, shares ? buffers : undefined),
      );
      for (const program of programs) {
        program.step([0, 6, 0, 0]);
        program.step([0, 3, 0, 0]);
        program.step([1, 30, 5, 0]);
      }
      for (const step of steps(seed, count)) programs[step[1] % 3 === 0 ? 1 : 0]!.step(step);
      for (const program of programs) program.finish();
      for (const program of programs) program.freeBuffers();
      const dma = dmaCounters(r.machine);
      for (const name of COUNTED) done.set(name, (done.get(name) ?? 0) + dma.get(name));
      r.sanitizer.releaseDevice(r.dev);
      r.dev.destroy();
      second.destroy();
      const found = r.sanitizer.finish().map((report) => report.message);
      const left = r.machine.ledger.live().map(({ kind, detail }) => `${kind}: ${detail}`);
      expect([...found, ...left, r.machine.warnings].join('\n')).toBe('0');
    }),
    { numRuns: PROGRAMS, examples: [UNDONE_MAP] },
  );
  // The programs really do something.
  for (const name of COUNTED) expect(done.get(name)).toBeGreaterThan(PROGRAMS);
});
