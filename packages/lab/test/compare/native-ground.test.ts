import { bindToVfio, SimSys } from '@gpusvm/native-backend';
import { describe, expect, it } from 'vitest';
import { loadCapture } from '../../src/capture/capture-file.ts';
import { shippedCaptures } from '../../src/capture/shipped.ts';
import { compare } from '../../src/compare/compare.ts';
import { nativeGround } from '../../src/compare/native-ground.ts';
import type { CompareOptions, StrategyResult } from '../../src/compare/result.ts';

const NVME = '0000:00:05.0';
const capture = loadCapture(shippedCaptures().find(({ name }) => name === 'sparse')!.file);
const OPTIONS: CompareOptions = {
  strategies: ['iova-packed', 'iova-holes-one-destroy'],
  iommu: 'strict',
  fault: '2M',
  kernel: 'linux-7.3',
  seed: 1,
};

function sysWithNvme(): SimSys {
  const sys = new SimSys();
  bindToVfio(sys, NVME);
  return sys;
}

/** What a scheme did, without what only a simulated page table can count. */
function work({ gpuFaults, dmaMappedPages, linkCalls, iovaOperations, data }: StrategyResult): object {
  return { gpuFaults, dmaMappedPages, linkCalls, iovaOperations, data };
}

describe('a comparison on memory behind an IOAS', () => {
  it('verifies every page by DMA, does the work of the simulated one, and leaves nothing', () => {
    const sys = sysWithNvme();
    const native = compare('sparse', capture, OPTIONS, undefined, nativeGround(sys, NVME)).results;
    const simulated = compare('sparse', capture, OPTIONS).results;
    expect(work(native[0]!)).toEqual(work(simulated[0]!));
    expect(native.map(({ data }) => data.mismatches)).toEqual([0, 0]);
    expect(native[0]!.data.pagesChecked).toBeGreaterThan(10_000);
    // iommufd steps over holes: the scheme that leaks behind them on a page table does not leak here.
    expect(native.map(({ leakedEntries }) => leakedEntries)).toEqual([0, 0]);
    expect(simulated.map(({ leakedEntries }) => leakedEntries > 0)).toEqual([false, true]);
    expect([sys.openFiles, sys.memlock.lockedPages]).toEqual([0, 0]);
  });

  it('needs an IOMMU mode that translates', () => {
    const ground = nativeGround(sysWithNvme(), NVME);
    expect(() => compare('sparse', capture, { ...OPTIONS, iommu: 'swiotlb' }, undefined, ground)).toThrow(
      'strict or lazy, not swiotlb',
    );
  });
});
