import { EADDRINUSE } from '@gpusvm/kernel';
import {
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaSync,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
} from '../../src/index.ts';
import { type Backend, Golden, PAGE, range, type Row, type Same } from './fixture.ts';

function row(
  no: number,
  topic: string,
  title: string,
  run: (g: Golden, same: Same) => void,
  options: Partial<DmaDeviceOptions> = {},
): Row {
  return { no, topic, title, run: (backend: Backend, same: Same) => run(new Golden(backend, options), same) };
}

const LAZY: Partial<DmaDeviceOptions> = { iommu: 'lazy' };

function map(g: Golden, pages = 1): number {
  return dmaMapPhys(g.dev, g.pfn * PAGE, pages * PAGE, 0, 0);
}

function unmap(g: Golden, addr: number, pages = 1): void {
  dmaUnmapPhys(g.dev, addr, pages * PAGE, 0, 0);
}

const T = 'table pages';
const I = 'invalidation';

export const lazyRows: readonly Row[] = [
  row(
    106,
    'lazy domain',
    'destroy is strict: the same IOVA at once',
    (g, same) => {
      const s = g.pages(1);
      g.link(s, 0);
      dmaIovaDestroy(g.dev, s, PAGE, 0, 0);
      same([g.invalidated(), g.pages(1).addr], [[0], s.addr]);
    },
    LAZY,
  ),
  row(
    107,
    'lazy domain',
    'unmap_page: no translation at once, another IOVA next',
    (g, same) => {
      const addr = map(g);
      unmap(g, addr);
      same(g.iovaToPhys(addr), 0);
      same(map(g) === addr, false);
    },
    LAZY,
  ),
  row(
    108,
    'lazy domain',
    'after 60 ms the IOVA is in use again',
    (g, same) => {
      const addr = map(g);
      unmap(g, addr);
      map(g);
      g.machine.clock.advance(60e6);
      same(map(g), addr);
    },
    LAZY,
  ),
  row(
    110,
    'lazy domain',
    '64 pages: another IOVA, 0x40000 lower',
    (g, same) => {
      const addr = map(g, 64);
      unmap(g, addr, 64);
      same(addr - map(g, 64), 0x40000);
    },
    LAZY,
  ),
];

export const tableRows: readonly Row[] = [
  row(111, T, '512 one-page links, one unlink of 2M: the table comes and goes', (g, same) => {
    const s = g.pages(512);
    g.link(s, 0);
    g.unlink(s, 0);
    g.link(s, 0, 512); // leaves no lowest table below this 2M
    g.unlink(s, 0, 512);
    const before = g.tables;
    for (const slot of range(0, 512)) g.link(s, slot);
    const during = g.tables;
    g.unlink(s, 0, 512);
    same([during - before, g.tables - before, g.warned()], [1, 0, 0]);
  }),
  row(112, T, 'a 2M aligned link needs no lowest table', (g, same) => {
    const s = g.pages(1024);
    g.link(s, 0, 512);
    const before = g.tables;
    g.link(s, 512, 512);
    same(g.tables - before, 0);
  }),
  row(113, T, '512 one-page unlinks leave the table pinned', (g, same) => {
    const s = g.pages(1024);
    g.link(s, 512, 512);
    const before = g.tables;
    for (const slot of range(0, 512)) g.link(s, slot);
    same(g.tables - before, 1);
    for (const slot of range(0, 512)) g.unlink(s, slot);
    same(g.tables - before, 1);
    same(g.machine.counters.snapshot().get('dma.tblPinned'), 1);
  }),
  row(115, T, '511 pages, unlink of 511: the table stays', (g, same) => {
    const s = g.pages(1024);
    g.link(s, 512, 512);
    const before = g.tables;
    for (const slot of range(0, 511)) g.link(s, slot);
    g.unlink(s, 0, 511);
    same([g.tables - before, g.mapped(s, 512), g.warned()], [1, [], 0]);
  }),
  row(116, T, 'hole at 300: 0-299 cleared, the rest stays, the table is not freed', (g, same) => {
    const s = g.pages(1024);
    g.link(s, 512, 512);
    const before = g.tables;
    for (const slot of range(0, 512)) if (slot !== 300) g.link(s, slot);
    g.unlink(s, 0, 512);
    same([g.warned(), g.mapped(s, 512), g.tables - before], [1, range(301, 512), 1]);
  }),
];

export const invalidationRows: readonly Row[] = [
  row(117, I, 'link and sync: none; with caching mode one at the sync', (g, same) => {
    const s = g.pages(1);
    g.link(s, 0);
    dmaIovaSync(g.dev, s, 0, PAGE);
    same(g.invalidated(), []);
    const caching = new Golden(g.backend, { cachingMode: true });
    const other = caching.pages(1);
    caching.link(other, 0);
    same(caching.invalidated(), []);
    dmaIovaSync(caching.dev, other, 0, PAGE);
    same(caching.invalidated(), [0]);
  }),
  row(118, I, 'unlink of 1 page: order 0; of 5 pages: order 3', (g, same) => {
    const s = g.pages(8);
    g.link(s, 0);
    g.unlink(s, 0);
    g.link(s, 0, 5);
    g.unlink(s, 0, 5);
    same(g.invalidated(), [0, 3]);
  }),
  row(119, I, 'four one-page unlinks: four', (g, same) => {
    const s = g.pages(4);
    for (const slot of range(0, 4)) g.link(s, slot);
    for (const slot of range(0, 4)) g.unlink(s, slot);
    same(g.invalidated(), [0, 0, 0, 0]);
  }),
  row(120, I, 'an unlink that clears nothing reaches no hardware', (g, same) => {
    const s = g.pages(512);
    g.unlink(s, 0, 4);
    dmaIovaUnlink(g.dev, s, 0, 0, 0, 0);
    g.link(s, 0, 512);
    g.unlink(s, 7);
    same(g.invalidated(), []);
  }),
  row(121, I, 'a short unlink invalidates the cleared pages only', (g, same) => {
    const s = g.pages(4);
    for (const slot of [0, 1, 3]) g.link(s, slot);
    g.unlink(s, 0, 4);
    same(g.invalidated(), [1]);
  }),
  row(122, I, '2M of 4K leaves: one of order 9', (g, same) => {
    const s = g.pages(512);
    for (const slot of range(0, 512)) g.link(s, slot);
    g.unlink(s, 0, 512);
    same(g.invalidated(), [9]);
  }),
  row(124, I, 'a failing link invalidates what it undid', (g, same) => {
    const s = g.pages(4);
    g.link(s, 2);
    same(g.link(s, 0, 3), -EADDRINUSE);
    same(g.invalidated(), [1]);
  }),
  row(125, I, 'a 2M link over an emptied table: one of order 9 during the link', (g, same) => {
    const s = g.pages(512);
    g.link(s, 0);
    g.unlink(s, 0);
    g.invalidated();
    g.link(s, 0, 512);
    same(g.invalidated(), [9]);
  }),
  row(128, I, 'a 16-page destroy: one of order 4, also in a lazy domain', (g, same) => {
    for (const golden of [g, new Golden(g.backend, LAZY)]) {
      const s = golden.pages(16);
      golden.link(s, 0, 16);
      dmaIovaDestroy(golden.dev, s, 16 * PAGE, 0, 0);
      same(golden.invalidated(), [4]);
    }
  }),
  row(
    129,
    I,
    'map_page and unmap_page: strict one of order 0; lazy one flush of the domain, later',
    (g, same) => {
      unmap(g, map(g));
      same(g.invalidated(), [0]);
      const lazy = new Golden(g.backend, LAZY);
      unmap(lazy, map(lazy));
      same(lazy.invalidated(), []);
      lazy.machine.clock.advance(60e6);
      map(lazy);
      same(lazy.invalidated(), [-1]);
    },
  ),
];
