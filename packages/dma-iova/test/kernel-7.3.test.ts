import { EINVAL, Machine } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  DMA_ATTR_CC_SHARED,
  DMA_ATTR_MMIO,
  DMA_MAPPING_ERROR,
  DmaDevice,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaMapPage,
  dmaMapPhys,
  dmaMapResource,
  dmaMapSg,
  dmaUnmapPage,
  dmaUnmapPhys,
  dmaUnmapSg,
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

  test('a page is not mapped as MMIO, and CC_SHARED is refused on a translated device', () => {
    const g = new Golden(backend);
    expect(dmaMapPage(g.dev, g.pfn, 0, PAGE, 0, DMA_ATTR_MMIO)).toBe(DMA_MAPPING_ERROR);
    expect(dmaMapPhys(g.dev, g.pfn * PAGE, PAGE, 0, DMA_ATTR_CC_SHARED)).toBe(DMA_MAPPING_ERROR);
    expect(dmaMapResource(g.dev, g.pfn * PAGE, PAGE, 0, DMA_ATTR_CC_SHARED)).toBe(DMA_MAPPING_ERROR);
    const addr = dmaMapPhys(g.dev, g.pfn * PAGE, PAGE, 0, 0);
    expect(addr).toBe(0xfffff000);
    dmaUnmapPhys(g.dev, addr, PAGE, 0, DMA_ATTR_CC_SHARED);
    dmaUnmapPage(g.dev, addr, PAGE, 0, DMA_ATTR_MMIO);
    expect([g.iovaToPhys(addr), g.warned()]).toEqual([g.pfn * PAGE, 0]);
    const direct = new DmaDevice(g.machine, g.memory, { name: 'direct', iommu: 'none' });
    expect(dmaMapPhys(direct, g.pfn * PAGE, PAGE, 0, DMA_ATTR_CC_SHARED)).toBe(g.pfn * PAGE);
    expect(dmaMapPage(direct, g.pfn, 0, PAGE, 0, DMA_ATTR_MMIO)).toBe(DMA_MAPPING_ERROR);
  });

  test('a scatter segment of length 0 behind others is refused, as the first it hides the list from the unmap', () => {
    const g = new Golden(backend);
    const list = (...segments: [number, number][]): ScatterList => {
      const sg = new ScatterList(segments.length);
      for (const [offset, length] of segments) sg.push(g.pfn * PAGE + offset, length);
      return sg;
    };
    expect(dmaMapSg(g.dev, list([0, PAGE], [PAGE, 0]), 0, 0)).toBe(-EINVAL);
    const hidden = list([0, 0], [PAGE, PAGE]);
    expect(dmaMapSg(g.dev, hidden, 0, 0)).toBe(2);
    expect(Array.from(hidden.dmaLengthBytes)).toEqual([0, PAGE]);
    dmaUnmapSg(g.dev, hidden, 0, 0);
    expect([g.iovaToPhys(0xfffff000), g.warned()]).toEqual([(g.pfn + 1) * PAGE, 0]);
    // With a page offset its granule counts, and it is a segment of its own.
    const offset = list([0, PAGE], [0x1800, 0]);
    expect([dmaMapSg(g.dev, offset, 0, 0), offset.dmaLengthBytes[1]]).toEqual([2, 0]);
  });

  test('an unmap of length 0 unmaps nothing and gives the address back as one page', () => {
    const g = new Golden(backend);
    const addr = dmaMapPhys(g.dev, g.pfn * PAGE, PAGE, 0, 0);
    dmaUnmapPhys(g.dev, addr, 0, 0, 0);
    expect([g.warned(), g.iovaToPhys(addr)]).toEqual([0, g.pfn * PAGE]);
    expect(g.pages(1).addr).toBe(addr);
  });
});

test('sizes of 2^53 to 2^63 find no space and do not warn, from 2^63 on they warn once', () => {
  const g = new Golden('vtd');
  const state = new DmaIovaState();
  const attempt = (size: number): [boolean, number] => [dmaIovaTryAlloc(g.dev, state, 0, size), g.warned()];
  expect([0, 2 ** 53, 2 ** 62, 2 ** 63, 2 ** 63, 2 ** 64, 0].map(attempt)).toEqual(
    [1, 0, 0, 1, 0, 0, 0].map((warnings) => [false, warnings]),
  );
  // The search below 4 GiB failed, so the preference for it is gone.
  expect(g.pages(1).addr).toBe(0xfffffff000);
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
