import { DmaDevice, type DmaDeviceOptions, dmaIovaTryAlloc, DmaIovaState } from '@gpusvm/dma-iova';
import { ENOMEM, EOPNOTSUPP, type KernelProfileName } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmDmaMap,
  hmmDmaMapAlloc,
  hmmDmaMapFree,
  hmmDmaMapPfn,
  hmmDmaUnmapPfn,
} from '../src/index.ts';
import { World } from './support/world.ts';

const PAGE = 4096;
const READ = HMM_PFN_VALID;
const D = HMM_PFN_DMA_MAPPED;
const P = HMM_PFN_P2PDMA;
const B = HMM_PFN_P2PDMA_BUS;
const SWITCH = { name: 'peer', upstreamBridge: 'switch', busOffsetBytes: 2 ** 40 };
const below = { upstreamBridge: 'switch', hostBridgeAllowed: false };
const across = { upstreamBridge: 'root', hostBridgeAllowed: true };
const nowhere = { upstreamBridge: 'root', hostBridgeAllowed: false };

interface Rig {
  readonly w: World;
  readonly dev: DmaDevice;
  readonly map: HmmDmaMap;
  count(name: string): number;
}

function rig(options: Partial<DmaDeviceOptions> = {}, profile: KernelProfileName = 'linux-7.3'): Rig {
  const w = new World({ profile });
  const dev = new DmaDevice(w.machine, w.memory, { name: 'nic', iommu: 'strict', ...options });
  const count = (name: string): number => w.machine.counters.snapshot().get(`dma.${name}`)!;
  return { w, dev, map: new HmmDmaMap(), count };
}

/** A rig whose IOVA space is used up, so that every entry is mapped by itself. */
function crowded(): Rig {
  const r = rig({ dmaMaskBits: 32 });
  const hog = new DmaIovaState();
  for (let pages = 2 ** 19; pages >= 64; pages /= 2) while (dmaIovaTryAlloc(r.dev, hog, 0, pages * PAGE));
  return r;
}

/** Page k of memory with its pfn as content, as a fault would report it. */
function fill(r: Rig, index: number, flags: number): number {
  const pfn = 100 + index;
  r.w.memory.writeTag(pfn, pfn);
  r.map.pfns.pfn[index] = pfn;
  r.map.pfns.flags[index] = flags;
  return pfn;
}

describe('hmm_dma_map_alloc', () => {
  test('takes one reservation where it can, a list where the device needs unmaps, nothing where it does not', () => {
    const iova = rig();
    expect(hmmDmaMapAlloc(iova.dev, iova.map, 64, PAGE)).toBe(0);
    expect([iova.map.mode, iova.map.state.size, iova.map.dmaList]).toEqual(['iova', 64 * PAGE, null]);
    const list = crowded();
    expect(hmmDmaMapAlloc(list.dev, list.map, 64, PAGE)).toBe(0);
    expect([list.map.mode, list.map.dmaList?.length]).toEqual(['dma-list', 64]);
    const direct = rig({ iommu: 'none' });
    expect(hmmDmaMapAlloc(direct.dev, direct.map, 64, PAGE)).toBe(0);
    expect([direct.map.mode, direct.map.pfns.flags.length]).toEqual(['stateless', 64]);
    for (const r of [iova, list, direct]) hmmDmaMapFree(r.dev, r.map);
    iova.dev.destroy();
    expect(iova.w.live()).toEqual(['mm: 1']);
  });

  test('counts entries in 4K pages whatever their size, and warns when that is less than one entry', () => {
    const r = rig();
    expect(hmmDmaMapAlloc(r.dev, r.map, 512, 512 * PAGE)).toBe(0);
    expect([r.map.state.size, r.w.machine.warnings]).toEqual([512 * PAGE, 0]);
    hmmDmaMapFree(r.dev, r.map);
    expect(hmmDmaMapAlloc(r.dev, r.map, 16, 512 * PAGE)).toBe(0);
    expect(r.w.machine.warnings).toBe(1);
  });

  test('refuses devices whose ownership cannot be passed on, kernels before 6.16, and a lack of memory', () => {
    for (const options of [
      { coherent: false },
      { iommu: 'swiotlb' },
      { iommu: 'none', dmaMaskBits: 20 },
    ] as const) {
      const r = rig(options);
      expect(hmmDmaMapAlloc(r.dev, r.map, 8, PAGE)).toBe(-EOPNOTSUPP);
    }
    const old = rig({}, 'linux-6.12');
    expect(hmmDmaMapAlloc(old.dev, old.map, 8, PAGE)).toBe(-EOPNOTSUPP);
    for (const nth of [1, 2]) {
      const r = crowded();
      r.w.machine.faultInjection.failNth('hmm.dma_map_alloc', nth);
      expect(hmmDmaMapAlloc(r.dev, r.map, 64, PAGE)).toBe(-ENOMEM);
      expect([r.map.pfns.flags.length, r.map.dmaList]).toEqual([0, null]);
    }
  });
});

describe('an entry, row by row', () => {
  const rigs: [string, () => Rig][] = [
    ['iova', () => rig()],
    ['dma-list', crowded],
    ['stateless', () => rig({ iommu: 'none' })],
  ];

  for (const [mode, make] of rigs) {
    test(`${mode}: RAM is mapped, kept while mapped, unmapped once`, () => {
      const r = make();
      hmmDmaMapAlloc(r.dev, r.map, 64, PAGE);
      expect(r.map.mode).toBe(mode);
      const pfn = fill(r, 3, READ);
      expect(hmmDmaUnmapPfn(r.dev, r.map, 3)).toBe(false);
      const addr = hmmDmaMapPfn(r.dev, r.map, 3);
      expect(r.dev.readTag(addr)).toBe(pfn);
      expect(r.map.pfns.flags[3]).toBe(READ | D);
      if (mode === 'iova') expect(addr).toBe(r.map.state.addr + 3 * PAGE);
      // Read prefetch, then a write: only the flags change.
      r.map.pfns.flags[3]! |= HMM_PFN_WRITE;
      const work = [r.count('callLink'), r.count('callMap')];
      expect(hmmDmaMapPfn(r.dev, r.map, 3)).toBe(addr);
      expect([r.count('callLink'), r.count('callMap') - (mode === 'stateless' ? 1 : 0)]).toEqual(work);
      expect(r.dev.writeTag(addr, 5)).toBe(true);
      expect(hmmDmaUnmapPfn(r.dev, r.map, 3)).toBe(true);
      expect(r.map.pfns.flags[3]).toBe(READ | HMM_PFN_WRITE);
      expect(hmmDmaUnmapPfn(r.dev, r.map, 3)).toBe(false);
      if (mode !== 'stateless') expect(r.dev.readTag(addr)).toBe(-1);
      hmmDmaMapFree(r.dev, r.map);
    });

    test(`${mode}: peer memory below the same switch never meets the IOMMU`, () => {
      const r = make();
      hmmDmaMapAlloc(r.dev, r.map, 64, PAGE);
      const pfn = fill(r, 0, READ);
      const p2p = { provider: SWITCH, client: below };
      const before = [r.count('callLink'), r.count('callMap')];
      const addr = hmmDmaMapPfn(r.dev, r.map, 0, p2p);
      expect(addr).toBe(pfn * PAGE + SWITCH.busOffsetBytes);
      expect(r.map.pfns.flags[0]).toBe(READ | D | B);
      expect(hmmDmaMapPfn(r.dev, r.map, 0, p2p)).toBe(addr);
      expect(hmmDmaUnmapPfn(r.dev, r.map, 0)).toBe(true);
      expect([r.map.pfns.flags[0], r.count('callUnlink'), r.count('callUnmap')]).toEqual([READ, 0, 0]);
      expect([r.count('callLink'), r.count('callMap')]).toEqual(before);
    });

    test(`${mode}: peer memory across the host bridge is marked, unreachable memory is an error without a trace`, () => {
      const r = make();
      hmmDmaMapAlloc(r.dev, r.map, 64, PAGE);
      fill(r, 1, READ);
      expect(hmmDmaMapPfn(r.dev, r.map, 1, { provider: SWITCH, client: across })).toBeGreaterThanOrEqual(0);
      expect(r.map.pfns.flags[1]).toBe(READ | D | P);
      expect(hmmDmaUnmapPfn(r.dev, r.map, 1)).toBe(true);
      expect(r.map.pfns.flags[1]).toBe(READ);
      expect(hmmDmaMapPfn(r.dev, r.map, 1, { provider: SWITCH, client: nowhere })).toBe(-1);
      expect(r.map.pfns.flags[1]).toBe(READ);
    });
  }

  test('an occupied slot fails, clears P, and leaves the earlier entries alone', () => {
    const r = rig();
    hmmDmaMapAlloc(r.dev, r.map, 8, PAGE);
    for (const i of [0, 1]) {
      fill(r, i, READ);
      hmmDmaMapPfn(r.dev, r.map, i);
    }
    // Hazard (a): the entry lost its flags while it was linked.
    r.map.pfns.flags[1] = READ;
    expect(hmmDmaMapPfn(r.dev, r.map, 1, { provider: SWITCH, client: across })).toBe(-1);
    expect([r.map.pfns.flags[0], r.map.pfns.flags[1]]).toEqual([READ | D, READ]);
  });

  test('hazard (a): an entry that lost VALID but kept D is not unmapped, and its link stays', () => {
    const r = rig();
    hmmDmaMapAlloc(r.dev, r.map, 8, PAGE);
    const pfn = fill(r, 2, READ);
    const addr = hmmDmaMapPfn(r.dev, r.map, 2);
    r.map.pfns.flags[2] = D;
    expect(hmmDmaUnmapPfn(r.dev, r.map, 2)).toBe(false);
    expect([r.map.pfns.flags[2], r.dev.readTag(addr)]).toEqual([D, pfn]);
  });
});
