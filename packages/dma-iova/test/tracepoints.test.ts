import { Machine } from '@gpusvm/kernel';
import { expect, it } from 'vitest';
import {
  DMA_DEVICE_CREATE,
  DMA_IOVA_FREE,
  DMA_IOVA_UNLINK,
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapSg,
  dmaUnmapSg,
  type DmaDeviceOptions,
  ScatterList,
  TagMemory,
} from '../src/index.ts';

const P = 4096;

function rig(options: Partial<DmaDeviceOptions> = {}) {
  const machine = new Machine();
  const names: string[] = [];
  const events: Record<string, unknown>[] = [];
  machine.trace.onAll(({ name, event }) => {
    names.push(name);
    events.push({ name, ...(event as object) });
  });
  const memory = new TagMemory(machine, { pages: 4096 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu0', iommu: 'strict', ...options });
  const of = (name: string): Record<string, unknown>[] => events.filter((e) => e['name'] === name);
  return { machine, memory, dev, names, of };
}

it('unlink and free say on whose behalf they happen', () => {
  const r = rig();
  const pfn = r.memory.allocPages(2);
  const s = new DmaIovaState();
  const make = (): void => {
    dmaIovaTryAlloc(r.dev, s, 0, 4 * P);
    dmaIovaLink(r.dev, s, pfn * P, 0, 4 * P, 0, 0);
    dmaIovaSync(r.dev, s, 0, 4 * P);
  };
  make();
  dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
  dmaIovaFree(r.dev, s);
  make();
  dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
  make();
  dmaIovaDestroyHoles(r.dev, s, 0, 0);
  const api = ({ api: of }: Record<string, unknown>): unknown => of;
  const destroys = ['dma_iova_destroy', 'dma_iova_with_holes_destroy'];
  expect(r.of('dma_iova_unlink').map(api)).toEqual(['dma_iova_unlink', ...destroys]);
  expect(r.of('dma_iova_free').map(api)).toEqual(['dma_iova_free', ...destroys]);
  expect(r.of('iommu_unmap').map(({ overHoles }) => overHoles)).toEqual([false, false, true]);
});

it('taps are given the device and the state of the caller', () => {
  const r = rig();
  const seen: unknown[] = [];
  r.machine.trace.tap(DMA_IOVA_UNLINK, (dev, state) => seen.push(dev, state));
  r.machine.trace.tap(DMA_IOVA_FREE, (dev, state, size) => seen.push(dev, state, size));
  r.machine.trace.tap(DMA_DEVICE_CREATE, (dev) => seen.push(dev.name));
  const s = new DmaIovaState();
  dmaIovaTryAlloc(r.dev, s, 0, P);
  dmaIovaLink(r.dev, s, r.memory.allocPages(0) * P, 0, P, 0, 0);
  dmaIovaDestroy(r.dev, s, P, 0, 0);
  const other = new DmaDevice(r.machine, r.memory, { name: 'nic', iommu: 'none' });
  expect(seen).toEqual([r.dev, s, r.dev, s, P, 'nic']);
  expect(seen[1]).toBe(s);
  other.destroy();
  expect(r.of('dma_device_destroy')).toEqual([{ name: 'dma_device_destroy', device: 'nic' }]);
});

it('a scatter list of a translated device is one event a call, with what it was mapped to', () => {
  const r = rig();
  const pfn = r.memory.allocPages(2);
  const sg = new ScatterList(2);
  sg.push((pfn + 2) * P, P);
  sg.push(pfn * P, P);
  expect(dmaMapSg(r.dev, sg, 1, 0)).toBe(1);
  const addr = sg.dmaAddrBytes[0]!;
  dmaUnmapSg(r.dev, sg, 1, 0);
  const event = { device: 'gpu0', segments: 2, mapped: 1, dmaAddrBytes: addr, dir: 1, attrs: 0 };
  expect(r.of('dma_map_sg')).toEqual([{ name: 'dma_map_sg', ...event }]);
  expect(r.of('dma_unmap_sg')).toEqual([{ name: 'dma_unmap_sg', ...event }]);
  expect(r.names.indexOf('dma_unmap_sg')).toBeLessThan(r.names.indexOf('iommu_unmap'));
});

it('a bounce slot is traced when it is taken and when it is given back', () => {
  const r = rig({ untrusted: true });
  const s = new DmaIovaState();
  const phys = r.memory.allocPages(0) * P;
  dmaIovaTryAlloc(r.dev, s, 0, P);
  dmaIovaLink(r.dev, s, phys, 0, 100, 2, 0);
  dmaIovaUnlink(r.dev, s, 0, 100, 2, 0);
  const [taken] = r.of('swiotlb_bounced');
  expect(taken).toMatchObject({ physBytes: phys, sizeBytes: 100, dir: 2, attrs: 0 });
  expect(r.of('swiotlb_unbounced')).toEqual([{ ...taken, name: 'swiotlb_unbounced' }]);
});

it('a table page is traced when it leaves the tree and, after the invalidation, when it is free', () => {
  const r = rig();
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(9);
  dmaIovaTryAlloc(r.dev, s, 0, 512 * P);
  for (let i = 0; i < 512; i++) dmaIovaLink(r.dev, s, (pfn + 511 - i) * P, i * P, P, 0, 0);
  dmaIovaUnlink(r.dev, s, 0, 512 * P, 0, 0);
  const [unlinked] = r.of('iommu_table_unlink');
  expect(unlinked).toMatchObject({ device: 'gpu0', iovaBytes: s.addr, sizeBytes: 512 * P });
  expect(r.of('iommu_table_free')).toMatchObject([{ device: 'gpu0', table: unlinked!['table'] }]);
  const order = ['iommu_table_unlink', 'iotlb_invalidate', 'iommu_table_free'].map((n) => r.names.indexOf(n));
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(order[0]).toBeGreaterThanOrEqual(0);
});

it('a larger leaf that takes the place of an empty table unlinks that table', () => {
  const r = rig();
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(9);
  dmaIovaTryAlloc(r.dev, s, 0, 512 * P);
  dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
  dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
  expect(r.of('iommu_table_unlink')).toEqual([]);
  expect(dmaIovaLink(r.dev, s, pfn * P, 0, 512 * P, 0, 0)).toBe(0);
  expect(r.of('iommu_table_unlink')).toMatchObject([{ iovaBytes: s.addr, sizeBytes: 512 * P }]);
  expect(r.of('iommu_table_free')).toHaveLength(1);
});
