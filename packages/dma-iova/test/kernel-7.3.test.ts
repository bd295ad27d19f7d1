import { Machine } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  DMA_MAPPING_ERROR,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaMapSg,
  dmaUnmapPhys,
  LinuxRbtree,
  ScatterList,
} from '../src/index.ts';
import { type Backend, Golden, PAGE } from './golden/fixture.ts';

/** What Linux 7.3.4 was seen to do beyond section 8 of the specification, by random programs on the kernel itself. */
describe.each<Backend>(['vtd', 'amdv1'])('%s', (backend) => {
  test('behind a scatter segment that alone is longer than the maximum, everything joins', () => {
    const g = new Golden(backend);
    const map = (...lengths: number[]): number[] => {
      const sg = new ScatterList(lengths.length);
      lengths.forEach((length, i) => sg.push((g.pfn + 512 * i) * PAGE, length));
      dmaMapSg(g.dev, sg, 0, 0);
      return Array.from(sg.dmaLengthBytes.subarray(0, sg.mapped));
    };
    expect(map(0x11000, 0x1000, 0x100000)).toEqual([0x112000]);
    // At the maximum exactly nothing is left, and below it only what is left.
    expect(map(0x10000, 0x1000)).toEqual([0x10000, 0x1000]);
    expect(map(0xf000, 0x1000, 0x1000)).toEqual([0x10000, 0x1000]);
    // An end inside a page starts a new segment, whatever the length.
    expect(map(0x11800, 0x1000)).toEqual([0x11800, 0x1000]);
  });

  test('a mapping of length 0 fails, and the page that it had taken is the next one', () => {
    const g = new Golden(backend);
    const top = dmaMapPhys(g.dev, g.pfn * PAGE, PAGE, 0, 0);
    expect(dmaMapPhys(g.dev, g.pfn * PAGE, 0, 0, 0)).toBe(DMA_MAPPING_ERROR);
    const range = g.pages(1);
    expect(range.addr).toBe(top - PAGE);
    expect(g.warned()).toBe(0);
  });

  test('an unmap of length 0 unmaps nothing and gives the address back as one page', () => {
    const g = new Golden(backend);
    const addr = dmaMapPhys(g.dev, g.pfn * PAGE, PAGE, 0, 0);
    dmaUnmapPhys(g.dev, addr, 0, 0, 0);
    expect([g.warned(), g.iovaToPhys(addr)]).toEqual([0, g.pfn * PAGE]);
    expect(g.pages(1).addr).toBe(addr);
  });
});

test('a page that was freed twice warns when the caches are emptied', () => {
  const g = new Golden('vtd');
  const state = g.pages(1);
  g.free(state);
  g.free(state);
  expect(g.warned()).toBe(0);
  const huge = new DmaIovaState();
  expect(dmaIovaTryAlloc(g.dev, huge, 0, 2 ** 41)).toBe(false);
  expect(g.warnings.map((event) => event.site)).toEqual(['iova_magazine_free_pfns: no such range']);
});

test('a free of length 0 goes to the cache of single pages', () => {
  const machine = new Machine();
  const iova = new LinuxRbtree(machine);
  const first = iova.alloc(1, 2 ** 20 - 1, false, 0);
  iova.alloc(1, 2 ** 20 - 1, false, 0);
  iova.free(first, 0, 0);
  expect(iova.nodes).toBe(2);
  expect(iova.alloc(1, 2 ** 20 - 1, false, 0)).toBe(first);
});
