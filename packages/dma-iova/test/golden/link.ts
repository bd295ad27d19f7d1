import { EADDRINUSE, EINVAL, EIO, ENXIO, ERANGE } from '@gpusvm/kernel';
import {
  DMA_ATTR_MMIO,
  DMA_ATTR_REQUIRE_COHERENT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_NONE,
  type DmaDataDirection,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
} from '../../src/index.ts';
import { Golden, PAGE, type Row, type Same } from './fixture.ts';

function raw(
  g: Golden,
  state: DmaIovaState,
  phys: number,
  offset: number,
  size: number,
  dir: DmaDataDirection = 0,
  attrs = 0,
): number {
  return dmaIovaLink(g.dev, state, phys, offset, size, dir, attrs);
}

function row(no: number, title: string, run: (g: Golden, same: Same) => void): Row {
  return { no, topic: 'link', title, run: (backend, same) => run(new Golden(backend), same) };
}

export const linkRows: readonly Row[] = [
  row(27, 'slots may be linked in any order and leave holes', (g, same) => {
    const s = g.pages(8);
    same([g.link(s, 3), g.link(s, 0, 2), g.link(s, 6, 2)], [0, 0, 0]);
    same(g.mapped(s, 8), [0, 1, 3, 6, 7]);
  }),
  row(28, 'a link over a linked slot is -EADDRINUSE, with the same and with another page', (g, same) => {
    const s = g.pages(2);
    g.link(s, 0);
    same([g.link(s, 0), g.link(s, 0, 1, 7)], [-EADDRINUSE, -EADDRINUSE]);
    same(g.iovaToPhys(s.addr), g.pfn * PAGE);
    same(g.warned(), 0);
  }),
  row(29, 'a link that meets an occupied slot undoes its own entries', (g, same) => {
    const s = g.pages(8);
    g.link(s, 3);
    same(g.link(s, 2, 3), -EADDRINUSE);
    same([g.mapped(s, 8), g.warned()], [[3], 0]);
  }),
  row(31, 'one page directly after the end of the reservation is mapped', (g, same) => {
    g.pages(1);
    g.pages(1);
    const s = g.pages(4);
    same(g.link(s, 4), 0);
    same([g.mapped(s, 5), g.warned()], [[4], 0]);
  }),
  row(32, 'two pages that straddle the end are mapped', (g, same) => {
    g.pages(1);
    g.pages(1);
    const s = g.pages(4);
    same(g.link(s, 3, 2), 0);
    same([g.mapped(s, 5), g.warned()], [[3, 4], 0]);
  }),
  row(33, 'a link into a neighbour is noticed only where the neighbour is linked', (g, same) => {
    const upper = g.pages(1);
    const s = g.pages(1);
    g.link(upper, 0);
    same(upper.addr - s.addr, PAGE);
    same(g.link(s, 1), -EADDRINUSE);
  }),
  row(34, 'size 0 at an aligned address is -EINVAL', (g, same) => {
    const s = g.pages(1);
    same([raw(g, s, g.pfn * PAGE, 0, 0), g.warned(), g.mapped(s, 1)], [-EINVAL, 0, []]);
  }),
  row(36, 'size 0 with the page offset of the reservation maps one page', (g, same) => {
    const s = g.alloc(PAGE, 0x234);
    same(raw(g, s, g.pfn * PAGE + 0x234, 0, 0), 0);
    same(g.mapped(s, 2), [0]);
  }),
  row(37, 'a page offset other than the reservation has is -ENXIO', (g, same) => {
    const s = g.pages(1);
    same([raw(g, s, g.pfn * PAGE + 0x234, 0, 0x100), g.warned()], [-ENXIO, 0]);
  }),
  row(39, 'an unaligned page at an offset is -EIO, warned about once', (g, same) => {
    const s = g.pages(4);
    const phys = g.pfn * PAGE + 0x234;
    same(
      [raw(g, s, phys, PAGE, PAGE), g.warned(), raw(g, s, phys, PAGE, PAGE), g.warned()],
      [-EIO, 1, -EIO, 0],
    );
  }),
  row(40, 'an aligned page at offset 0x800 is -ENXIO', (g, same) => {
    const s = g.pages(4);
    same([raw(g, s, g.pfn * PAGE, 0x800, PAGE), g.warned()], [-ENXIO, 0]);
  }),
  row(41, 'size 0x801 at offset 0, then a link at 0x801', (g, same) => {
    const s = g.pages(4);
    same([raw(g, s, g.pfn * PAGE, 0, 0x801), raw(g, s, g.pfn * PAGE, 0x801, PAGE)], [0, -ENXIO]);
  }),
  row(43, 'a reservation with offset 0x234: the second link is at 0x1000-0x234', (g, same) => {
    const s = g.alloc(4 * PAGE, 0x234);
    const phys = g.pfn * PAGE;
    const first = raw(g, s, phys + 0x234, 0, PAGE - 0x234);
    const second = raw(g, s, phys + PAGE, PAGE - 0x234, PAGE);
    same([first, second], [0, 0]);
    same(g.iovaToPhys(s.addr), phys + 0x234);
  }),
  row(45, 'offset 0x3000 of that reservation is -ENXIO', (g, same) => {
    const s = g.alloc(4 * PAGE, 0x234);
    same(raw(g, s, g.pfn * PAGE, 0x3000, PAGE), -ENXIO);
  }),
  row(46, 'direction NONE is -EINVAL with a warning', (g, same) => {
    const s = g.pages(1);
    same([raw(g, s, g.pfn * PAGE, 0, PAGE, DMA_NONE), g.warned()], [-EINVAL, 1]);
  }),
  row(48, 'MMIO, REQUIRE_COHERENT and SKIP_CPU_SYNC are accepted on a coherent device', (g, same) => {
    const s = g.pages(3);
    const attrs = [DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT, DMA_ATTR_SKIP_CPU_SYNC];
    const errs = attrs.map((attr, i) => raw(g, s, (g.pfn + i) * PAGE, i * PAGE, PAGE, 0, attr));
    same(errs, [0, 0, 0]);
  }),
  row(49, 'phys 2^52 is -ERANGE', (g, same) => {
    const s = g.pages(1);
    same([raw(g, s, 2 ** 52, 0, PAGE), g.warned()], [-ERANGE, 0]);
  }),
  row(51, 'two links, a third that fails, then an unlink of the first two', (g, same) => {
    const s = g.pages(8);
    g.link(s, 5);
    same([g.link(s, 0, 2), g.link(s, 2, 2), g.link(s, 4, 3)], [0, 0, -EADDRINUSE]);
    same(g.mapped(s, 8), [0, 1, 2, 3, 5]);
    g.unlink(s, 0, 4);
    same([g.mapped(s, 8), g.warned()], [[5], 0]);
  }),
  {
    no: 54,
    topic: 'sync',
    title: 'sync looks at no entry',
    run: (backend, same) => {
      const g = new Golden(backend);
      const s = g.pages(4);
      const nothing = dmaIovaSync(g.dev, s, 0, 4 * PAGE);
      g.link(s, 0);
      g.link(s, 2);
      const hole = dmaIovaSync(g.dev, s, 0, 4 * PAGE);
      const again = dmaIovaSync(g.dev, s, 0, 4 * PAGE);
      const beyond = dmaIovaSync(g.dev, s, 0, 64 * PAGE);
      same([nothing, hole, again, beyond, g.warned()], [0, 0, 0, 0, 0]);
    },
  },
];
