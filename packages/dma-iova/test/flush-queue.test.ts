import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaFree,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaUnmapPhys,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;

function lazy(options: Partial<DmaDeviceOptions> = {}, cpus = 1): { machine: Machine; dev: DmaDevice } {
  const machine = new Machine({ cpus });
  const memory = new TagMemory(machine, { pages: 2048 });
  memory.claimPages(1024, 9);
  return { machine, dev: new DmaDevice(machine, memory, { name: 'nic', iommu: 'lazy', ...options }) };
}

function bounceOff(dev: DmaDevice, pages = 1): number {
  const addr = dmaMapPhys(dev, 1024 * PAGE, pages * PAGE, 0, 0);
  dmaUnmapPhys(dev, addr, pages * PAGE, 0, 0);
  return addr;
}

describe('the flush queue of a lazy domain', () => {
  it('leaves the device its old translation until the timer fires', () => {
    const { machine, dev } = lazy();
    dev.memory.writeTag(1024, 77);
    const addr = dmaMapPhys(dev, 1024 * PAGE, PAGE, 0, 0);
    expect(dev.readTag(addr)).toBe(77);
    dmaUnmapPhys(dev, addr, PAGE, 0, 0);
    expect(dev.readTag(addr)).toBe(77);
    machine.clock.advance(9.9e6);
    expect(dev.readTag(addr)).toBe(77);
    machine.clock.advance(0.2e6);
    expect(dev.readTag(addr)).toBe(-1);
    expect(dev.flushQueue!.size).toBe(0);
  });

  it('has fired its timer before what is unmapped or freed after it was due', () => {
    const { machine, dev } = lazy();
    const first = bounceOff(dev);
    const live = dmaMapPhys(dev, 1024 * PAGE, PAGE, 0, 0);
    machine.clock.advance(20e6);
    dmaUnmapPhys(dev, live, PAGE, 0, 0);
    expect(dev.flushQueue!.size).toBe(1);
    const state = new DmaIovaState();
    dmaIovaTryAlloc(dev, state, 0, PAGE);
    expect(state.addr).toBe(first);
    machine.clock.advance(20e6);
    dmaIovaFree(dev, state);
    expect(dev.flushQueue!.size).toBe(0);
    // Last in, first out: the free came after the flush.
    expect([bounceOff(dev), bounceOff(dev)]).toEqual([state.addr, live]);
  });

  it('flushes synchronously when its 255 usable entries are taken', () => {
    const { machine, dev } = lazy();
    for (let i = 0; i < 255; i++) bounceOff(dev);
    const before = machine.counters.snapshot();
    expect([before.get('dma.fqEnt'), before.get('dma.fqFlushAll'), before.get('dma.iotlbInv')]).toEqual([
      255, 0, 0,
    ]);
    bounceOff(dev);
    const after = machine.counters.snapshot();
    expect([after.get('dma.fqFlushAll'), after.get('dma.iotlbInv'), dev.flushQueue!.size]).toEqual([1, 1, 1]);
  });

  it('keeps table pages until the flush', () => {
    const { machine, dev } = lazy();
    bounceOff(dev, 512);
    bounceOff(dev, 1); // a second 2M region with a table of its own
    const tables = dev.domain!.tables;
    const addr = dmaMapPhys(dev, 1025 * PAGE, 511 * PAGE, 0, 0);
    dmaUnmapPhys(dev, addr, 511 * PAGE, 0, 0);
    expect(dev.domain!.tables).toBeGreaterThanOrEqual(tables);
    machine.clock.advance(20e6);
    dev.poll();
    expect(machine.ledger.live().map((item) => item.kind)).not.toContain('flush queue entry');
  });

  it('has one queue a CPU, or a single one of 32768 entries and one second', () => {
    const perCpu = lazy({}, 2);
    bounceOff(perCpu.dev);
    perCpu.dev.cpu = 1;
    bounceOff(perCpu.dev);
    expect(perCpu.dev.flushQueue!.size).toBe(2);
    const single = lazy({ flushQueue: 'single' });
    for (let i = 0; i < 300; i++) bounceOff(single.dev);
    single.machine.clock.advance(999e6);
    single.dev.poll();
    expect(single.dev.flushQueue!.size).toBe(300);
    single.machine.clock.advance(2e6);
    single.dev.poll();
    expect(single.dev.flushQueue!.size).toBe(0);
  });

  it('is drained when the device goes', () => {
    const { machine, dev } = lazy();
    bounceOff(dev);
    expect(machine.ledger.live().some((item) => item.kind === 'flush queue entry')).toBe(true);
    dev.destroy();
    expect(machine.ledger.live().filter((item) => item.kind !== 'physical page')).toEqual([]);
  });
});
