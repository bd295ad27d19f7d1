import { EADDRINUSE, Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_MMIO,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlinkRuns,
  type IommuMode,
  p2pdmaBusAddr,
  p2pdmaMapType,
  packDescending,
  TagMemory,
} from '../../src/index.ts';
import { RequestMapping, type Segment } from './nvme-like.ts';

const PAGE = 4096;
const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];

function setup(iommu: IommuMode) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  memory.claimPages(1024, 8);
  return { machine, memory, dev: new DmaDevice(machine, memory, { name: 'nvme', iommu }) };
}

function request(): Segment[] {
  return [
    { physBytes: 1024 * PAGE, sizeBytes: 2 * PAGE },
    { physBytes: 1030 * PAGE, sizeBytes: PAGE },
    { physBytes: 1040 * PAGE, sizeBytes: 16 * PAGE },
  ];
}

describe('an NVMe-like request mapper', () => {
  for (const mode of MODES) {
    it(`reads into every page of a request, ${mode}`, () => {
      const { machine, memory, dev } = setup(mode);
      const mapping = new RequestMapping(dev, DMA_FROM_DEVICE);
      expect(mapping.map(request())).toBe(true);
      expect(mapping.segments.length).toBe(mode === 'strict' || mode === 'lazy' ? 1 : 3);
      let tag = 100;
      for (const { dmaAddrBytes, sizeBytes } of mapping.segments) {
        for (let at = 0; at < sizeBytes; at += PAGE)
          expect(dev.writeTag(dmaAddrBytes + at, tag++)).toBe(true);
      }
      mapping.unmap();
      const got = [1024, 1025, 1030, 1040, 1055].map((pfn) => memory.readTag(pfn));
      expect(got).toEqual([100, 101, 102, 103, 118]);
      memory.freePagesBlock(1024, 8);
      dev.destroy();
      expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
    });

    it(`fails cleanly at whichever allocation fails, ${mode}`, () => {
      for (let k = 1; k < 8; k++) {
        const { machine, memory, dev } = setup(mode);
        machine.faultInjection.failAnyNth(k);
        const mapping = new RequestMapping(dev, DMA_FROM_DEVICE);
        if (mapping.map(request())) mapping.unmap();
        machine.faultInjection.reset();
        memory.freePagesBlock(1024, 8);
        dev.destroy();
        expect([machine.ledger.live(), machine.warnings]).toEqual([[], 0]);
      }
    });
  }
});

/** BAR of another device: no page of it is RAM. */
const BAR = 2 ** 40;

/** dma_buf_phys_vec_to_sgt in shape: every range linked at a running offset, or, as in 7.3.4, at offset 0. */
function mapRanges(
  dev: DmaDevice,
  state: DmaIovaState,
  sizes: readonly number[],
  offsetZero: boolean,
): number {
  const total = sizes.reduce((sum, n) => sum + n, 0);
  dmaIovaTryAlloc(dev, state, 0, total);
  let mapped = 0;
  for (const [i, size] of sizes.entries()) {
    const offset = offsetZero ? 0 : mapped;
    const err = dmaIovaLink(dev, state, BAR + i * 2 ** 30, offset, size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
    if (err !== 0) {
      dmaIovaDestroy(dev, state, mapped, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
      return err;
    }
    mapped += size;
  }
  return dmaIovaSync(dev, state, 0, mapped);
}

describe('a dma-buf-like MMIO mapper', () => {
  it('maps several ranges at a running offset and unmaps them as one', () => {
    const { machine, dev } = setup('strict');
    const state = new DmaIovaState();
    const sizes = [2 * PAGE, 512 * PAGE, PAGE];
    expect(mapRanges(dev, state, sizes, false)).toBe(0);
    expect(dev.translate(state.addr + 3 * PAGE, 1)).toBe((BAR + 2 ** 30) / PAGE + 1);
    dmaIovaDestroy(dev, state, 515 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
    expect([dev.domain!.mappedPages, machine.warnings]).toEqual([0, 0]);
  });

  it('meets -EADDRINUSE at the second range when all are linked at offset 0', () => {
    const { dev } = setup('strict');
    expect(mapRanges(dev, new DmaIovaState(), [2 * PAGE, PAGE], true)).toBe(-EADDRINUSE);
    expect(dev.domain!.mappedPages).toBe(0);
  });

  it('takes the path that the topology allows', () => {
    const gpu = { name: 'gpu', upstreamBridge: 'sw0', busOffsetBytes: -(2 ** 39) };
    const types = [
      p2pdmaMapType(null, { upstreamBridge: 'sw0', hostBridgeAllowed: true }),
      p2pdmaMapType(gpu, { upstreamBridge: 'sw0', hostBridgeAllowed: false }),
      p2pdmaMapType(gpu, { upstreamBridge: 'sw1', hostBridgeAllowed: true }),
      p2pdmaMapType(gpu, { upstreamBridge: 'sw1', hostBridgeAllowed: false }),
    ];
    expect(types).toEqual(['none', 'bus-addr', 'thru-host-bridge', 'not-supported']);
    expect(p2pdmaBusAddr(gpu, BAR)).toBe(2 ** 39);
  });
});

describe('our additions', () => {
  it('unlink many runs with one invalidation', () => {
    const { machine, dev } = setup('strict');
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, 64 * PAGE);
    const offsets = new Float64Array([0, 10, 40]).map((page) => page * PAGE);
    const sizes = new Float64Array([3, 5, 1]).map((pages) => pages * PAGE);
    offsets.forEach((offset, i) => dmaIovaLink(dev, state, 1024 * PAGE + offset, offset, sizes[i]!, 0, 0));
    dmaIovaUnlinkRuns(dev, state, offsets, sizes, 3, 0, 0);
    expect([
      dev.domain!.mappedPages,
      machine.counters.snapshot().get('dma.iotlbInv'),
      machine.warnings,
    ]).toEqual([0, 1, 0]);
    dmaIovaFree(dev, state);
  });

  it('pack mixed orders so that a large leaf survives', () => {
    const orders = Uint8Array.from([0, 9, 0, 4]);
    const offsets = new Float64Array(4);
    expect(packDescending(orders, 4, offsets)).toBe(512 + 16 + 2);
    expect([...offsets]).toEqual([528, 0, 529, 512]);
    const leaves = [offsets, new Float64Array([0, 1, 513, 514])].map((at) => {
      const { dev } = setup('strict');
      const state = new DmaIovaState();
      dmaIovaTryAlloc(dev, state, 0, 530 * PAGE);
      at.forEach((page, i) => {
        const phys = (4096 + i * 1024) * PAGE;
        expect(dmaIovaLink(dev, state, phys, page * PAGE, 2 ** orders[i]! * PAGE, 0, 0)).toBe(0);
      });
      let count = 0;
      dev.domain!.forEachLeaf(() => count++);
      return count;
    });
    expect(leaves).toEqual([19, 530]);
  });
});
