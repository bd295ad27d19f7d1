import { EOPNOTSUPP, EPERM, Machine, type KernelProfileName, WARN } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_BIDIRECTIONAL,
  DMA_IOVA_LINK,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;

function setup(options: Partial<DmaDeviceOptions> = {}, profile: KernelProfileName = 'linux-7.3') {
  const machine = new Machine({ profile });
  const memory = new TagMemory(machine, { pages: 4096 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu', iommu: 'strict', ...options });
  const state = new DmaIovaState();
  const count = (name: string): number => machine.counters.snapshot().get(`dma.${name}`)!;
  return { machine, memory, dev, state, count };
}

describe('the two-step API by kernel', () => {
  it('does not exist in 6.12', () => {
    const { dev, state } = setup({}, 'linux-6.12');
    expect(dmaIovaTryAlloc(dev, state, 0, PAGE)).toBe(false);
    expect(dev.domain!.format).toBe('vtd-legacy');
  });

  it('takes a link of size 0 as nothing until 7.0', () => {
    const { dev, state } = setup({}, 'linux-7.0');
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    expect(dmaIovaLink(dev, state, 2048 * PAGE, 0, 0, 0, 0)).toBe(0);
    expect(dev.domain!.mappedPages).toBe(0);
  });

  it('destroys through the flush queue of a lazy domain until 7.2, and frees only the mapped length', () => {
    const { machine, dev, state, count } = setup({ iommu: 'lazy' }, 'linux-7.2');
    dmaIovaTryAlloc(dev, state, 0, 8 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, PAGE, 0, 0);
    dmaIovaDestroy(dev, state, PAGE, 0, 0);
    expect([count('iotlbInv'), dev.flushQueue!.size]).toEqual([0, 1]);
    machine.clock.advance(20e6);
    dev.poll();
    // The 8-page range is now in the bin of single pages: 7 pages of address space are lost to others.
    const next = new DmaIovaState();
    dmaIovaTryAlloc(dev, next, 0, PAGE);
    expect(next.addr).toBe(state.addr);
    dmaIovaTryAlloc(dev, next, 0, 8 * PAGE);
    expect(next.addr).not.toBe(state.addr);
  });

  it('destroys strictly and wholly since 7.3', () => {
    const { dev, state, count } = setup({ iommu: 'lazy' });
    dmaIovaTryAlloc(dev, state, 0, 8 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, PAGE, 0, 0);
    dmaIovaDestroy(dev, state, PAGE, 0, 0);
    expect([count('iotlbInv'), dev.flushQueue!.size]).toEqual([1, 0]);
    const next = new DmaIovaState();
    dmaIovaTryAlloc(dev, next, 0, 8 * PAGE);
    expect(next.addr).toBe(state.addr);
  });
});

describe('a device that does not snoop', () => {
  it('gets cache maintenance at link and unlink, unless told not to', () => {
    const { dev, state, count } = setup({ coherent: false });
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
    const walks = count('walk');
    dmaIovaUnlink(dev, state, 0, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
    expect([count('cpuSync'), count('walk') - walks]).toEqual([8, 5]);
    for (const attr of [DMA_ATTR_SKIP_CPU_SYNC, DMA_ATTR_MMIO]) {
      dmaIovaLink(dev, state, 2048 * PAGE, 0, 4 * PAGE, DMA_BIDIRECTIONAL, attr);
      dmaIovaUnlink(dev, state, 0, 4 * PAGE, DMA_BIDIRECTIONAL, attr);
    }
    expect(count('cpuSync')).toBe(8);
  });

  it('refuses REQUIRE_COHERENT', () => {
    const { dev, state } = setup({ coherent: false });
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    expect(dmaIovaLink(dev, state, 2048 * PAGE, 0, PAGE, 0, DMA_ATTR_REQUIRE_COHERENT)).toBe(-EOPNOTSUPP);
  });

  it('warns and gives up its slow pass at a hole', () => {
    const { machine, dev, state, count } = setup({ coherent: false });
    const sites: string[] = [];
    machine.trace.on(WARN, (event) => sites.push(event.site));
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    for (const slot of [0, 2, 3]) dmaIovaLink(dev, state, (2048 + slot) * PAGE, slot * PAGE, PAGE, 0, 0);
    dmaIovaUnlink(dev, state, 0, 4 * PAGE, 0, 0);
    expect(sites).toEqual([
      'iommu_dma_iova_unlink_range_slow: no translation',
      'dma_iova_unlink: unmapped != requested',
    ]);
    expect(count('cpuSync')).toBe(4);
  });
});

describe('attributes of an untrusted device', () => {
  it('that forbid a bounce which is needed give -EPERM', () => {
    const { dev, state } = setup({ untrusted: true });
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    for (const attr of [DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT]) {
      expect(dmaIovaLink(dev, state, 2048 * PAGE, 0, 100, 0, attr)).toBe(-EPERM);
    }
    expect(dmaIovaLink(dev, state, 2048 * PAGE, 0, 100, 0, 0)).toBe(0);
    expect(dmaIovaLink(dev, state, 2049 * PAGE, PAGE, PAGE, 0, DMA_ATTR_REQUIRE_COHERENT)).toBe(-EOPNOTSUPP);
    expect(dev.machine.warnings).toBe(1);
  });
});

describe('destroy with holes', () => {
  it('clears what is there with one invalidation, frees tables and reservation, and reports', () => {
    const { machine, dev, state, count } = setup();
    dmaIovaTryAlloc(dev, state, 0, 2048 * PAGE);
    for (const slot of [3, 4, 700, 2047])
      dmaIovaLink(dev, state, (2048 + slot) * PAGE, slot * PAGE, PAGE, 0, 0);
    dmaIovaLink(dev, state, 2048 * PAGE, 1024 * PAGE, 512 * PAGE, 0, 0);
    expect(dmaIovaDestroyHoles(dev, state, 0, 0)).toEqual({ clearedPages: 516, holes: 4, firstHolePage: 0 });
    // The two tables above the reservation's own stay, and map nothing now.
    expect([dev.domain!.mappedPages, count('iotlbInv'), count('tblPinned'), dev.domain!.tables]).toEqual([
      0, 1, 2, 2,
    ]);
    expect(machine.warnings).toBe(0);
    dev.destroy();
    expect(machine.ledger.live()).toEqual([]);
  });

  it('leaves and reports a leaf that reaches beyond the reservation', () => {
    const { machine, dev, state } = setup({ ioPageTable: 'amdv1' });
    dmaIovaTryAlloc(dev, state, 0, 3 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, 4 * PAGE, 0, 0);
    expect(dmaIovaDestroyHoles(dev, state, 0, 0).clearedPages).toBe(0);
    expect([machine.warnings, dev.domain!.mappedPages]).toEqual([1, 4]);
  });

  it('frees a reservation in which nothing was linked, without an invalidation', () => {
    const { dev, state, count } = setup();
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    expect(dmaIovaDestroyHoles(dev, state, 0, 0)).toEqual({ clearedPages: 0, holes: 1, firstHolePage: 0 });
    expect(count('iotlbInv')).toBe(0);
  });
});

describe('the ledger', () => {
  it('names what is live, and after the device is gone what was leaked', () => {
    const { machine, dev, state } = setup();
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, 2 * PAGE, 0, 0);
    const kinds = (): string[] => machine.ledger.live().map((item) => `${item.count} ${item.kind}`);
    expect(kinds()).toEqual(['2 io page table leaf', '3 io page table', '1 iova reservation']);
    dmaIovaFree(dev, state);
    expect(kinds()).toEqual(['2 io page table leaf', '3 io page table']);
    dev.destroy();
    expect(kinds()).toEqual(['2 io page table leaf']);
  });
});

describe('the classic path', () => {
  it('warns and leaks when an address is unmapped that is not mapped', () => {
    const { machine, dev } = setup();
    const addr = dmaMapPhys(dev, 2048 * PAGE, PAGE, 0, 0);
    dmaUnmapPhys(dev, addr, PAGE, 0, 0);
    dmaUnmapPhys(dev, addr, PAGE, 0, 0);
    expect(machine.warnings).toBe(1);
  });

  it('keeps the byte offset and maps the pages around it', () => {
    const { dev } = setup();
    const addr = dmaMapPhys(dev, 2048 * PAGE + 100, PAGE, 0, 0);
    expect([addr % PAGE, dev.domain!.mappedPages]).toEqual([100, 2]);
    dmaUnmapPhys(dev, addr, PAGE, 0, 0);
    expect(dev.domain!.mappedPages).toBe(0);
  });

  it('refuses an address beyond the mask of a device without IOMMU, with one warning', () => {
    const { machine, dev } = setup({ iommu: 'none', dmaMaskBits: 24 });
    expect([dmaMapPhys(dev, 4095 * PAGE, PAGE, 0, 0), dmaMapPhys(dev, 4096 * PAGE, PAGE, 0, 0)]).toEqual([
      4095 * PAGE,
      -1,
    ]);
    expect(machine.warnings).toBe(1);
  });
});

describe('watching', () => {
  it('gives every link with its arguments and result', () => {
    const { machine, dev, state } = setup();
    const events: unknown[] = [];
    machine.trace.on(DMA_IOVA_LINK, (event) => events.push([event.offsetBytes, event.sizeBytes, event.err]));
    dmaIovaTryAlloc(dev, state, 0, 4 * PAGE);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, PAGE, 0, 0);
    dmaIovaLink(dev, state, 2048 * PAGE, 0, PAGE, 0, 0);
    dmaIovaSync(dev, state, 0, PAGE);
    expect(events).toEqual([
      [0, PAGE, 0],
      [0, PAGE, -98],
    ]);
  });
});
