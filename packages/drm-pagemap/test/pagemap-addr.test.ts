import { DMA_FROM_DEVICE, DMA_MAPPING_ERROR, DMA_TO_DEVICE } from '@gpusvm/dma-iova';
import { expect, test } from 'vitest';
import { DRM_INTERCONNECT_DRIVER, DRM_INTERCONNECT_SYSTEM, PagemapAddrs } from '../src/pagemap-addr.ts';

test('a fresh array has holes only', () => {
  const addrs = new PagemapAddrs(4);
  expect([0, 1, 2, 3].map((i) => addrs.mapped(i))).toEqual([false, false, false, false]);
  expect(addrs.count).toBe(0);
});

test('an entry keeps address, protocol, order and direction; an error is not a mapping', () => {
  const addrs = new PagemapAddrs(3);
  addrs.set(0, 2 ** 47, DRM_INTERCONNECT_SYSTEM, 9, DMA_TO_DEVICE);
  addrs.set(1, DMA_MAPPING_ERROR, DRM_INTERCONNECT_DRIVER, 0, DMA_FROM_DEVICE);
  expect([addrs.addr[0], addrs.proto[0], addrs.order[0], addrs.dir[0]]).toEqual([2 ** 47, 0, 9, 1]);
  expect([addrs.mapped(0), addrs.mapped(1)]).toEqual([true, false]);
});

test('clear empties the first entries and the count, and no more', () => {
  const addrs = new PagemapAddrs(3);
  for (let i = 0; i < 3; i++) addrs.set(i, 4096, 0, 0, 1);
  addrs.count = 3;
  addrs.clear(2);
  expect([...addrs.addr]).toEqual([0, 0, 4096]);
  expect(addrs.count).toBe(0);
});

test('a view shares the memory of its slots', () => {
  const addrs = new PagemapAddrs(8);
  const view = addrs.subarray(2, 5);
  view.set(1, 8192, 1, 0, 2);
  expect(addrs.addr[3]).toBe(8192);
  expect(view.addr.length).toBe(3);
});

test('a size that is none is refused', () => {
  expect(() => new PagemapAddrs(-1)).toThrow(/-1/);
  expect(() => new PagemapAddrs(1.5)).toThrow(RangeError);
});
