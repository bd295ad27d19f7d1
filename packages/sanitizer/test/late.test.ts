import {
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPhys,
  TagMemory,
} from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { expect, it } from 'vitest';
import { attachSanitizer } from '../src/index.ts';

const P = 4096;

function machineWithDevice() {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu0', iommu: 'strict' });
  return { machine, memory, dev };
}

it('what was mapped before the sanitizer was attached is not judged, nor is its end', () => {
  const { machine, memory, dev } = machineWithDevice();
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, 2 * P);
  dmaIovaLink(dev, state, memory.allocPages(0) * P, 0, P, 0, 0);
  dmaMapPhys(dev, memory.allocPages(0) * P, P, 0, 0);
  const idle = attachSanitizer(machine, { mode: 'report' });
  expect(idle.finish()).toEqual([]);
  const late = attachSanitizer(machine, { mode: 'report' });
  dmaIovaSync(dev, state, 0, P);
  dev.readTag(state.addr);
  dmaIovaDestroy(dev, state, P, 0, 0);
  expect(late.finish()).toEqual([]);
});

it('a device that nobody named is known from its first call on, or from the start', () => {
  const { machine, memory, dev } = machineWithDevice();
  const sanitizer = attachSanitizer(machine, { mode: 'report' });
  const later = new DmaDevice(machine, memory, { name: 'nic', iommu: 'strict', dmaMaskBits: 32 });
  for (const device of [dev, later]) {
    const state = new DmaIovaState();
    dmaIovaTryAlloc(device, state, 0, P);
    dmaIovaFree(device, state);
    dmaIovaFree(device, state);
  }
  expect(sanitizer.reports.map(({ rule, device }) => [rule, device])).toEqual([
    ['I11', 'gpu0'],
    ['I11', 'nic'],
  ]);
});

it('destroying a device releases it, and what its domain does then concerns nobody', () => {
  const { machine, memory, dev } = machineWithDevice();
  const sanitizer = attachSanitizer(machine, { mode: 'report' });
  const state = new DmaIovaState();
  dmaIovaTryAlloc(dev, state, 0, 4 * P);
  dmaIovaLink(dev, state, memory.allocPages(0) * P, 0, P, 0, 0);
  dev.destroy();
  expect(sanitizer.brokenRules()).toEqual(['I27']);
  const again = new DmaDevice(machine, memory, { name: 'gpu0', iommu: 'strict' });
  const fresh = new DmaIovaState();
  dmaIovaTryAlloc(again, fresh, 0, P);
  dmaIovaFree(again, fresh);
  again.destroy();
  expect(sanitizer.finish()).toHaveLength(1);
});
