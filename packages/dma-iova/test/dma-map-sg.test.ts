import { EINVAL, EIO, ENOMEM, EOPNOTSUPP, EREMOTEIO, Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_NONE,
  DMA_TO_DEVICE,
  DmaDevice,
  type DmaDeviceOptions,
  dmaMapSg,
  dmaSyncSgForCpu,
  dmaSyncSgForDevice,
  dmaUnmapSg,
  type P2pProvider,
  PeerMemory,
  ScatterList,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const BASE = 1024;
const BAR = 2 ** 40;

function setup(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  memory.claimPages(BASE, 10);
  const dev = new DmaDevice(machine, memory, { name: 'nic', iommu: 'strict', ...options });
  const count = (name: string): number => machine.counters.snapshot().get(`dma.${name}`)!;
  return { machine, memory, dev, count };
}

type Piece = readonly [physBytes: number, lengthBytes: number, provider?: P2pProvider];

function list(...pieces: Piece[]): ScatterList {
  const sg = new ScatterList(pieces.length);
  for (const [phys, length, provider] of pieces) sg.push(phys, length, provider ?? null);
  return sg;
}

function segments(sg: ScatterList): [number, number][] {
  return Array.from({ length: sg.mapped }, (_, i) => [sg.dmaAddrBytes[i]!, sg.dmaLengthBytes[i]!]);
}

function lengths(sg: ScatterList): number[] {
  return segments(sg).map(([, length]) => length);
}

function page(n: number): number {
  return (BASE + n) * PAGE;
}

describe('a scatter list of ordinary memory', () => {
  it('is joined up to the largest segment of the device, and no further', () => {
    for (const [maxSegmentBytes, expected] of [
      [undefined, [16 * PAGE, 16 * PAGE, 8 * PAGE]],
      [3 * PAGE, [...Array.from({ length: 13 }, () => 3 * PAGE), PAGE]],
      [PAGE, Array.from({ length: 40 }, () => PAGE)],
    ] as const) {
      const { dev } = setup(maxSegmentBytes === undefined ? {} : { maxSegmentBytes });
      const sg = list(...Array.from({ length: 40 }, (_, i): Piece => [page(i * 3), PAGE]));
      expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(expected.length);
      expect(lengths(sg)).toEqual(expected);
      dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
      expect(dev.domain!.mappedPages).toBe(0);
    }
  });

  it('is padded so that no segment crosses the segment boundary, and the padding leaves no hole', () => {
    const { machine, dev } = setup({ segmentBoundaryBytes: 4 * PAGE });
    const sg = list([page(0), 3 * PAGE], [page(8), 2 * PAGE], [page(16), 2 * PAGE]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(2);
    const base = sg.dmaAddrBytes[0]!;
    expect(segments(sg)).toEqual([
      [base, 3 * PAGE],
      [base + 4 * PAGE, 4 * PAGE],
    ]);
    expect(dev.domain!.mappedPages).toBe(8);
    dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
    expect([dev.domain!.mappedPages, machine.warnings]).toEqual([0, 0]);
  });

  it('starts a new segment at a page offset and after a partial page', () => {
    const { dev } = setup();
    const sg = list([page(0) + 512, 100], [page(5), PAGE], [page(7) + 16, PAGE - 16], [page(9), 10]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(3);
    const base = sg.dmaAddrBytes[0]! - 512;
    expect(segments(sg)).toEqual([
      [base + 512, 100],
      [base + PAGE, PAGE],
      [base + 2 * PAGE + 16, PAGE - 16 + 10],
    ]);
    expect([dev.translate(base + PAGE, 1), dev.translate(base + 3 * PAGE, 1)]).toEqual([BASE + 5, BASE + 9]);
    dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
    expect(dev.domain!.mappedPages).toBe(0);
  });

  it('refuses an empty segment behind another, as Linux 7.3.4 was seen to do', () => {
    const { dev } = setup();
    const sg = list([page(0), PAGE], [page(3), 0], [page(5), PAGE]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(-EINVAL);
    expect([sg.mapped, dev.domain!.mappedPages]).toEqual([0, 0]);
    // Nothing was reserved for it either.
    expect(dmaMapSg(dev, list([page(0), PAGE]), DMA_BIDIRECTIONAL, 0)).toBe(1);
  });
});

describe('the errno of a scatter list', () => {
  it('is -ENOMEM without IOVA space and without a table page', () => {
    const { machine, dev } = setup();
    for (const site of ['iova.alloc_node', 'iommu.alloc_table']) {
      const sg = list([page(0), PAGE], [page(2), PAGE]);
      for (const nth of site === 'iova.alloc_node' ? [1, 2, 3] : [1])
        machine.faultInjection.failNth(site, nth);
      expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(-ENOMEM);
      machine.faultInjection.reset();
      expect([sg.mapped, dev.domain!.mappedPages]).toEqual([0, 0]);
    }
  });

  it('is -EINVAL for a map that the page table refuses, no segments, or no direction', () => {
    const { machine, dev } = setup();
    const sg = list([page(0), PAGE], [2 ** 52, PAGE]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(-EINVAL);
    expect(dmaMapSg(dev, list(), DMA_BIDIRECTIONAL, 0)).toBe(-EINVAL);
    expect(machine.warnings).toBe(0);
    expect(dmaMapSg(dev, list([page(0), PAGE]), DMA_NONE, 0)).toBe(-EINVAL);
    expect([machine.warnings, dev.domain!.mappedPages]).toEqual([1, 0]);
  });

  it('is -EOPNOTSUPP when a device that does not snoop requires coherence, translated or not', () => {
    for (const iommu of ['strict', 'none'] as const) {
      const { dev } = setup({ coherent: false, iommu });
      expect(dmaMapSg(dev, list([page(0), PAGE]), 0, DMA_ATTR_REQUIRE_COHERENT)).toBe(-EOPNOTSUPP);
    }
  });

  it('is -EIO for a segment that a direct or a bouncing device cannot map', () => {
    const direct = setup({ iommu: 'none', dmaMaskBits: 23 }).dev;
    expect(dmaMapSg(direct, list([page(0), PAGE], [2 ** 23, PAGE]), 0, 0)).toBe(-EIO);
    const { machine, memory, dev } = setup({ untrusted: true });
    const sg = list([page(0), PAGE], [page(2) + 4, 8], [page(4), 80 * PAGE + 1]);
    expect(dmaMapSg(dev, sg, 0, 0)).toBe(-EIO);
    expect([sg.mapped, dev.domain!.mappedPages, dev.swiotlb!.live, machine.warnings]).toEqual([0, 0, 0, 0]);
    dev.destroy();
    memory.freePagesBlock(BASE, 10);
    expect(machine.ledger.live()).toEqual([]);
  });
});

describe('a scatter list of an untrusted device', () => {
  it('is mapped segment by segment, even when nothing has to be bounced', () => {
    const { machine, dev } = setup({ untrusted: true });
    const sg = list([page(0), PAGE], [page(1), PAGE], [page(2), 100]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(3);
    expect([lengths(sg), dev.swiotlb!.live]).toEqual([[PAGE, PAGE, 100], 1]);
    dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
    expect([dev.domain!.mappedPages, dev.swiotlb!.live, machine.warnings]).toEqual([0, 0, 0]);
  });
});

describe('peer memory in a scatter list', () => {
  const peer = (upstreamBridge: string): PeerMemory =>
    new PeerMemory({ name: 'gpu', physBytes: BAR, pages: 64, upstreamBridge, busOffsetBytes: -(2 ** 39) });
  const p2p = { upstreamBridge: 'sw0', hostBridgeAllowed: true };
  const kinds: readonly (readonly ['strict' | 'none', Partial<DmaDeviceOptions>])[] = [
    ['strict', { p2p }],
    ['none', { iommu: 'none', p2p }],
  ];

  for (const [name, options] of kinds) {
    it(`below the same switch is a bus address, between ordinary segments, ${name}`, () => {
      const { machine, memory, dev } = setup(options);
      const gpu = peer('sw0');
      dev.connectPeer(gpu);
      const sg = list([page(0), PAGE], [BAR + 2 * PAGE, 2 * PAGE, gpu], [page(4), PAGE]);
      expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(3);
      expect([...sg.dmaIsBus.subarray(0, 3)]).toEqual([0, 1, 0]);
      expect(sg.dmaAddrBytes[1]).toBe(BAR + 2 * PAGE - 2 ** 39);
      for (let i = 0; i < 3; i++) expect(dev.writeTag(sg.dmaAddrBytes[i]!, 50 + i)).toBe(true);
      expect([memory.readTag(BASE), gpu.readTag(gpu.pfn + 2), memory.readTag(BASE + 4)]).toEqual([
        50, 51, 52,
      ]);
      dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
      expect(machine.warnings).toBe(0);
      expect(dev.domain?.mappedPages ?? 0).toBe(0);
      memory.freePagesBlock(BASE, 10);
      dev.destroy();
      expect(machine.ledger.live()).toEqual([]);
    });

    it(`through the host bridge is mapped like RAM, with its physical address, ${name}`, () => {
      const { dev, count } = setup({ ...options, coherent: false });
      const gpu = peer('sw1');
      dev.connectPeer(gpu);
      gpu.writeTag(gpu.pfn, 9);
      const sg = list([BAR, PAGE, gpu], [page(0), PAGE]);
      expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(name === 'none' ? 2 : 1);
      expect(dev.readTag(sg.dmaAddrBytes[0]!)).toBe(9);
      // Only the page of ordinary memory has a cache.
      expect(count('cpuSync')).toBe(1);
      dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
      expect(count('cpuSync')).toBe(2);
    });

    it(`that cannot be reached is -EREMOTEIO and nothing stays mapped, ${name}`, () => {
      const { machine, memory, dev } = setup({
        ...options,
        p2p: { upstreamBridge: 'sw0', hostBridgeAllowed: false },
      });
      const sg = list([page(0), PAGE], [BAR, PAGE, peer('sw1')]);
      expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(-EREMOTEIO);
      expect([sg.mapped, machine.warnings]).toEqual([0, 0]);
      memory.freePagesBlock(BASE, 10);
      dev.destroy();
      expect(machine.ledger.live()).toEqual([]);
    });
  }

  it('alone needs no IOVA when all of it is bus addresses', () => {
    const { dev, count } = setup({ p2p });
    const gpu = peer('sw0');
    const sg = list([BAR, PAGE, gpu], [BAR + 4 * PAGE, PAGE, gpu]);
    expect(dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0)).toBe(2);
    expect(count('iovaAlloc')).toBe(0);
    dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
    expect([count('iovaFree'), count('iotlbInv')]).toEqual([0, 0]);
  });
});

describe('sync of a scatter list', () => {
  it('reaches every page of every segment of a device that does not snoop', () => {
    for (const iommu of ['strict', 'none'] as const) {
      const { memory, dev } = setup({ iommu, coherent: false });
      const pages = [0, 9, 3];
      const sg = list(...pages.map((n): Piece => [page(n), PAGE]));
      dmaMapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
      const addrs = segments(sg).flatMap(([addr, length]) =>
        Array.from({ length: length / PAGE }, (_, i) => addr + i * PAGE),
      );
      pages.forEach((n, i) => memory.writeTag(BASE + n, 70 + i));
      expect(addrs.map((addr) => dev.readTag(addr))).toEqual([0, 0, 0]);
      dmaSyncSgForDevice(dev, sg, DMA_BIDIRECTIONAL);
      expect(addrs.map((addr) => dev.readTag(addr))).toEqual([70, 71, 72]);
      addrs.forEach((addr, i) => dev.writeTag(addr, 80 + i));
      expect(pages.map((n) => memory.readTag(BASE + n))).toEqual([70, 71, 72]);
      dmaSyncSgForCpu(dev, sg, DMA_BIDIRECTIONAL);
      expect(pages.map((n) => memory.readTag(BASE + n))).toEqual([80, 81, 82]);
      dmaUnmapSg(dev, sg, DMA_BIDIRECTIONAL, 0);
    }
  });

  it('copies bounced segments', () => {
    const { memory, dev } = setup({ iommu: 'swiotlb' });
    const sg = list([page(0), PAGE], [page(2), PAGE]);
    dmaMapSg(dev, sg, DMA_FROM_DEVICE, 0);
    dev.writeTag(sg.dmaAddrBytes[1]!, 5);
    expect(memory.readTag(BASE + 2)).toBe(0);
    dmaSyncSgForCpu(dev, sg, DMA_FROM_DEVICE);
    expect(memory.readTag(BASE + 2)).toBe(5);
    dmaUnmapSg(dev, sg, DMA_TO_DEVICE, 0);
    expect(dev.swiotlb!.live).toBe(0);
  });
});
