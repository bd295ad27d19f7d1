import { EADDRINUSE, EINVAL, ENXIO, EOVERFLOW, ERANGE } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  iommuIovaToPhys,
  iommuMap,
  iommuUnmap,
} from '../src/index.ts';
import { type Backend, Golden, PAGE } from './golden/fixture.ts';

const IOVA = 0x10000000;
const RW = 3;
const END = 2 ** 52;

/** Each of these was run on Linux 7.3.4 (tools/vm-harness/vm/beyond-section8.vm.ts). */
describe.each<Backend>(['vtd', 'amdv1'])('%s', (backend) => {
  test('a map takes whole pages only, and says which rule it breaks first', () => {
    const g = new Golden(backend);
    const domain = g.dev.domain!;
    const map = (iova: number, phys: number, size: number, prot = RW): number =>
      iommuMap(domain, iova, phys, size, prot);
    const errors = [
      map(IOVA + 2048, 2048, PAGE),
      map(IOVA, 2048, PAGE),
      map(IOVA, 0, PAGE - 1),
      map(IOVA, 0, 0),
      map(IOVA + 1, END, 0),
      map(2 ** 64 - 65536, 0, 131072),
      map(2 ** 64 - 65536, 0, 65537),
      map(2 ** 64 - 65536, 0, 65536),
      map(2 ** 48 - PAGE, 0, PAGE + 1),
    ];
    expect(errors).toEqual([
      -ENXIO,
      -ENXIO,
      -ENXIO,
      -EINVAL,
      -ERANGE,
      -EOVERFLOW,
      -EOVERFLOW,
      -ERANGE,
      -ERANGE,
    ]);
    expect(g.warned()).toBe(0);
    expect([map(IOVA + 1, END, 7, 4), g.warned()]).toEqual([-EINVAL, 1]);
    expect(domain.mappedPages).toBe(0);
  });

  test('a map that ends within a page leaves tables and nothing else; an occupied rest is seen first', () => {
    const g = new Golden(backend);
    const domain = g.dev.domain!;
    expect(iommuMap(domain, IOVA + 0x1ff000, 0, 0x1800, RW)).toBe(-ENXIO);
    expect([domain.mappedPages, domain.tables]).toEqual([0, backend === 'vtd' ? 4 : 3]);
    expect(iommuMap(domain, IOVA + PAGE, 0, PAGE, RW)).toBe(0);
    expect(iommuMap(domain, IOVA, 0, 0x1800, RW)).toBe(-EADDRINUSE);
    expect(domain.mappedPages).toBe(1);
  });

  test('an unmap begins at a page and may end anywhere', () => {
    const g = new Golden(backend);
    const domain = g.dev.domain!;
    for (let i = 0; i < 3; i++) iommuMap(domain, IOVA + i * PAGE, i * PAGE, PAGE, RW);
    expect(iommuIovaToPhys(domain, IOVA + PAGE + 5)).toBe(PAGE + 5);
    const unmapped = [
      iommuUnmap(domain, IOVA + 2048, PAGE),
      iommuUnmap(domain, IOVA, 0),
      iommuUnmap(domain, IOVA, 2 ** 64 - 1),
      iommuUnmap(domain, IOVA, 1),
      iommuUnmap(domain, IOVA + PAGE, PAGE + 1),
      iommuUnmap(domain, IOVA + PAGE, PAGE),
    ];
    expect(unmapped).toEqual([0, 0, 0, PAGE, 2 * PAGE, 0]);
    expect([iommuIovaToPhys(domain, IOVA + PAGE + 5), domain.mappedPages]).toEqual([0, 0]);
  });

  test('only the first physical address is checked: beyond the last one the entries begin at 0', () => {
    const g = new Golden(backend);
    const state = new DmaIovaState();
    dmaIovaTryAlloc(g.dev, state, 0, 4 * PAGE);
    expect(dmaIovaLink(g.dev, state, END - PAGE, 0, 3 * PAGE, 0, 0)).toBe(0);
    const pages = [0, 1, 2, 3].map((i) => iommuIovaToPhys(g.dev.domain!, state.addr + i * PAGE));
    expect(pages).toEqual([END - PAGE, 0, PAGE, 0]);
    expect(dmaIovaLink(g.dev, state, END, 3 * PAGE, PAGE, 0, 0)).toBe(-ERANGE);
    // An occupied slot behind the end undoes the part before it.
    expect(iommuMap(g.dev.domain!, state.addr + 2 ** 24 + PAGE, 0, PAGE, RW)).toBe(0);
    expect(iommuMap(g.dev.domain!, state.addr + 2 ** 24, END - PAGE, 2 * PAGE, RW)).toBe(-EADDRINUSE);
    expect(g.dev.domain!.mappedPages).toBe(4);
  });
});
