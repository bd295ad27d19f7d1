import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_FAULT,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  DmaDevice,
  type DmaDeviceOptions,
  type DmaFaultEvent,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  IotlbGather,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;

function setup(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  memory.claimPages(1024, 10);
  const dev = new DmaDevice(machine, memory, { name: 'gpu', iommu: 'strict', ...options });
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, 512 * PAGE);
  return { machine, memory, dev, state };
}

describe('what a device sees', () => {
  it('is the memory that is linked, and nothing after an unlink', () => {
    const { machine, memory, dev, state } = setup();
    dmaIovaLink(dev, state, 1030 * PAGE, 0, PAGE, 0, 0);
    expect(dev.writeTag(state.addr, 9)).toBe(true);
    expect([memory.readTag(1030), dev.readTag(state.addr)]).toEqual([9, 9]);
    dmaIovaUnlink(dev, state, 0, PAGE, 0, 0);
    expect([dev.readTag(state.addr), dev.writeTag(state.addr, 1), memory.readTag(1030)]).toEqual([
      -1,
      false,
      9,
    ]);
    expect(machine.counters.snapshot().get('dma.dmaFault')).toBe(2);
  });

  it('is a fault with its reason otherwise', () => {
    const { machine, dev, state } = setup();
    const faults: DmaFaultEvent[] = [];
    machine.trace.on(DMA_FAULT, (event) => faults.push(event));
    dmaIovaLink(dev, state, 1030 * PAGE, 0, PAGE, DMA_TO_DEVICE, 0);
    dmaIovaLink(dev, state, 1031 * PAGE, PAGE, PAGE, DMA_FROM_DEVICE, 0);
    dmaIovaLink(dev, state, 2 ** 40, 2 * PAGE, PAGE, 0, 0);
    dev.writeTag(state.addr, 1);
    dev.readTag(state.addr + PAGE);
    dev.readTag(state.addr + 2 * PAGE);
    dev.readTag(state.addr + 3 * PAGE);
    expect(faults.map((f) => `${f.access}: ${f.reason}`)).toEqual([
      'write: permission',
      'read: permission',
      'read: no memory',
      'read: not present',
    ]);
  });

  it('stays the old page when an entry is replaced without an invalidation', () => {
    const { dev, state } = setup();
    const domain = dev.domain!;
    const page = state.addr / PAGE;
    domain.mapRange(page, 1030, 1, 3);
    expect(dev.translate(state.addr, 1)).toBe(1030);
    const gather = new IotlbGather();
    domain.unmapRange(page, 1, gather);
    domain.mapRange(page, 1040, 1, 3);
    expect([dev.translate(state.addr, 1), domain.translate(page)]).toEqual([1030, 1040]);
    domain.sync(gather);
    expect(dev.translate(state.addr, 1)).toBe(1040);
  });

  it('is still absent after a link without sync where the IOMMU caches absent entries', () => {
    const { dev, state } = setup({ cachingMode: true });
    expect(dev.readTag(state.addr)).toBe(-1);
    dmaIovaLink(dev, state, 1030 * PAGE, 0, PAGE, 0, 0);
    expect(dev.readTag(state.addr)).toBe(-1);
    dmaIovaSync(dev, state, 0, PAGE);
    expect(dev.readTag(state.addr)).toBe(0);
  });

  it('is never a table that was freed: a freed table is not reused before its gather is synced', () => {
    const { dev, state } = setup();
    const domain = dev.domain!;
    const page = state.addr / PAGE;
    for (let i = 0; i < 512; i++) domain.mapRange(page + i, 1024 + ((i * 3) % 512), 1, 3);
    expect(dev.translate(state.addr + PAGE, 1)).toBe(1027);
    const gather = new IotlbGather();
    domain.unmapRange(page, 512, gather);
    const tables = domain.tables;
    domain.mapRange(page - 4096, 1500, 1, 3); // wants a table, may not get the one in the gather
    expect(domain.tables).toBeGreaterThan(tables);
    expect(dev.translate(state.addr + 2 * PAGE, 1)).toBe(-1);
    domain.sync(gather);
    expect(dev.translate(state.addr + PAGE, 1)).toBe(-1);
  });
});
