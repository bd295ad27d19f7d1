import type { IommuMode } from '@gpusvm/dma-iova';
import type { MapStrategy } from '@gpusvm/drm-pagemap';
import { done, ENOMEM, KERNEL_PROFILES } from '@gpusvm/kernel';
import { attachMmSanitizer, attachSanitizer } from '@gpusvm/sanitizer';
import { describe, expect, it } from 'vitest';
import { gpuTouches, repeatedly } from '../../src/bugs/xe/gpu.ts';
import { makeXeWorld, prepareXe, XE_FIRST, type XeBug, type XeWorld } from '../../src/bugs/xe/xe-bug.ts';

const SEEDS = 12;
const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];

/** A live patch of the stack that no catalogue lists. */
interface Patch {
  readonly what: string;
  /** Ranges stay in system memory. */
  readonly system?: true;
  /** The first rule that is named, and a part of what it says. */
  readonly first: string;
  readonly says: string;
  readonly modes?: readonly IommuMode[];
  readonly patch: (w: XeWorld) => void;
}

/** The mapping strategy of this world alone. */
function strategyOf({ xe }: XeWorld): { -readonly [K in keyof MapStrategy]: MapStrategy[K] } {
  const own = { ...xe.strategy };
  Object.defineProperty(xe, 'strategy', { value: own });
  return own;
}

const PATCHES: readonly Patch[] = [
  {
    what: 'the copy to the device does nothing',
    first: 'S13',
    says: 'page frame 2048 of slot 0 becomes visible and was cleared, not copied from its source 1',
    patch({ xe }) {
      xe.pagemap!.devmemOps.copyToDevmem = () => done(0);
    },
  },
  {
    what: 'half of the pages are copied to the device',
    first: 'S13',
    says: 'page frame 2056 of slot 8 becomes visible and was cleared, not copied from its source 9',
    patch({ xe }) {
      const ops = xe.pagemap!.devmemOps;
      const copy = ops.copyToDevmem.bind(ops);
      ops.copyToDevmem = (pages, addrs, npages, fence) => copy(pages, addrs, Math.ceil(npages / 2), fence);
    },
  },
  {
    what: 'the copy back to RAM does nothing',
    first: 'S13',
    says: 'becomes visible and was never written',
    patch({ xe }) {
      xe.pagemap!.devmemOps.copyToRam = () => done(0);
    },
  },
  {
    what: 'pages are given back without their DMA mappings being undone',
    system: true,
    first: 'I25',
    says: 'page frame 1 is freed while it is',
    patch: (w) => void (strategyOf(w).unmap = () => {}),
  },
  {
    what: 'mappings are undone with the other direction',
    system: true,
    first: 'I17',
    says: 'direction',
    patch(w) {
      const own = strategyOf(w);
      const unmap = own.unmap.bind(own);
      own.unmap = (dev, state, pages, dir) => unmap(dev, state, pages, dir === 0 ? 1 : 0);
    },
  },
  {
    what: 'the error of a sync is taken for success',
    system: true,
    first: 'I5',
    says: 'a slot that was never synced since its link',
    modes: ['strict', 'lazy'],
    patch(w) {
      Object.defineProperty(w.device.domain!, 'syncMap', { value: () => -ENOMEM });
      const own = strategyOf(w);
      const map = own.map.bind(own);
      own.map = (...args) => {
        const err = map(...args);
        return err === -ENOMEM ? 0 : err;
      };
    },
  },
  {
    what: 'entries are counted as zeroed and are not',
    first: 'S7',
    says: 'gpu0 xe vm 1 maps page 2097152 to page frame',
    patch({ xe }) {
      xe.ops.zapPtes = () => 1;
    },
  },
];

/** What is said first of the stack with a patch, or of the correct one; empty when nothing is. */
function firstReport(patch: Patch | null, mode: IommuMode, seed: number): string {
  const bug: XeBug = {
    id: 'patch',
    title: patch?.what ?? 'none',
    source: 'this test',
    evidence: 'inferred',
    finds: 'S1',
    patch: () => {},
    tasks: {},
    ...(patch?.system === true ? { system: true } : {}),
  };
  const w = makeXeWorld(bug, mode, KERNEL_PROFILES.next, seed);
  const said: string[] = [];
  const onReport = ({ message }: { message: string }): void => void said.push(message);
  attachSanitizer(w.machine, { mode: 'report', devices: [w.device], onReport });
  const mm = attachMmSanitizer(w.machine, { folios: w.folios, mode: 'report', onReport });
  w.machine.run(prepareXe(bug, w), 'set-up');
  patch?.patch(w);
  w.machine.spawn(gpuTouches(w, [0, 3, 8]), 'GPU');
  w.machine.spawn(
    repeatedly(w, (x) => x.mm.cpuWrite(XE_FIRST + 1, 5), 25),
    'CPU',
  );
  w.machine.spawn(
    repeatedly(w, (x) => x.mm.madviseDontneed(XE_FIRST, 8), 25),
    'zap',
  );
  w.machine.drain();
  mm.check();
  return said[0] ?? '';
}

describe.each(PATCHES)('$what', (patch) => {
  it.each(patch.modes ?? MODES)('is named first in mode %s', (mode) => {
    let said = '';
    for (let seed = 1; seed <= SEEDS && said === ''; seed++) said = firstReport(patch, mode, seed);
    expect(said.split(' ')[0]).toBe(patch.first);
    expect(said).toContain(patch.says);
  });
});

it.each(MODES)('the correct stack is silent in mode %s', (mode) => {
  for (let seed = 1; seed <= SEEDS; seed++) expect([seed, firstReport(null, mode, seed)]).toEqual([seed, '']);
});
