import { EADDRINUSE } from '@gpusvm/kernel';
import { dmaIovaLink, dmaIovaUnlink } from '../../src/index.ts';
import { Golden, PAGE, range, type Row, type Same } from './fixture.ts';

function row(no: number, title: string, run: (g: Golden, same: Same) => void): Row {
  return { no, topic: 'unlink', title, run: (backend, same) => run(new Golden(backend), same) };
}

/** A 2M aligned reservation: above 32 pages the allocator aligns to the size. */
function large(g: Golden, twoMegs = 1): ReturnType<Golden['pages']> {
  return g.pages(512 * twoMegs);
}

export const unlinkRows: readonly Row[] = [
  row(56, 'four links, one unlink', (g, same) => {
    const s = g.pages(4);
    for (const slot of range(0, 4)) g.link(s, slot);
    g.unlink(s, 0, 4);
    same([g.warned(), g.mapped(s, 4)], [0, []]);
  }),
  row(57, 'four links, unlink of the middle two', (g, same) => {
    const s = g.pages(4);
    for (const slot of range(0, 4)) g.link(s, slot);
    g.unlink(s, 1, 2);
    same([g.warned(), g.mapped(s, 4)], [0, [0, 3]]);
  }),
  row(58, 'one 8-page link, unlink of slots 2-4', (g, same) => {
    const s = g.pages(8);
    g.link(s, 0, 8);
    g.unlink(s, 2, 3);
    same([g.warned(), g.mapped(s, 8)], g.amd ? [1, range(0, 8)] : [0, [0, 1, 5, 6, 7]]);
  }),
  row(59, 'hole at slot 2 of 4', (g, same) => {
    const s = g.pages(4);
    for (const slot of [0, 1, 3]) g.link(s, slot);
    g.unlink(s, 0, 4);
    same(
      g.warnings[0]?.message?.includes(
        'first hole (or larger leaf) at offset 0x2000; 1 leaves (1 pages) survive',
      ),
      true,
    );
    same([g.warned(), g.mapped(s, 4)], [1, [3]]);
  }),
  row(60, 'hole at slot 0 of 4', (g, same) => {
    const s = g.pages(4);
    for (const slot of [1, 2, 3]) g.link(s, slot);
    g.unlink(s, 0, 4);
    same([g.warned(), g.mapped(s, 4)], [1, [1, 2, 3]]);
  }),
  row(61, 'hole at slot 3 of 4', (g, same) => {
    const s = g.pages(4);
    for (const slot of [0, 1, 2]) g.link(s, slot);
    g.unlink(s, 0, 4);
    same([g.warned(), g.mapped(s, 4)], [1, []]);
  }),
  row(63, 'unlink of 8 when only 0-3 are linked', (g, same) => {
    const s = g.pages(8);
    for (const slot of range(0, 4)) g.link(s, slot);
    g.unlink(s, 0, 8);
    same([g.warned(), g.mapped(s, 8)], [1, []]);
  }),
  row(64, 'unlink twice warns at the second', (g, same) => {
    const s = g.pages(1);
    g.link(s, 0);
    g.unlink(s, 0);
    same(g.warned(), 0);
    g.unlink(s, 0);
    same(g.warned(), 1);
  }),
  row(65, 'size 0, aligned: nothing', (g, same) => {
    const s = g.pages(1);
    g.link(s, 0);
    dmaIovaUnlink(g.dev, s, 0, 0, 0, 0);
    same([g.warned(), g.mapped(s, 1)], [0, [0]]);
  }),
  row(66, 'size 1 at slot 2 removes the slot', (g, same) => {
    const s = g.pages(4);
    for (const slot of range(0, 4)) g.link(s, slot);
    dmaIovaUnlink(g.dev, s, 2 * PAGE, 1, 0, 0);
    same([g.warned(), g.mapped(s, 4)], [0, [0, 1, 3]]);
  }),
  row(68, 'size 0 with a page offset removes the first page, on AMD the first leaf', (g, same) => {
    const s = g.alloc(3 * PAGE - 0x10, 0x10);
    dmaIovaLink(g.dev, s, g.pfn * PAGE + 0x10, 0, 3 * PAGE - 0x10, 0, 0);
    dmaIovaUnlink(g.dev, s, 0, 0, 0, 0);
    same([g.warned(), g.mapped(s, 3)], g.amd ? [1, [2]] : [0, [1, 2]]);
  }),
  row(69, 'an unlink across missing tables stops', (g, same) => {
    const s = large(g, 4);
    g.link(s, 511);
    g.link(s, 3 * 512 - 1);
    g.unlink(s, 511, 1025);
    same([g.warned(), g.mapped(s, 2048)], [1, [1535]]);
  }),
  row(70, 'an unlink across an emptied table stops', (g, same) => {
    const s = large(g, 4);
    g.link(s, 600);
    g.unlink(s, 600);
    g.link(s, 511);
    g.link(s, 1024);
    g.unlink(s, 511, 514);
    same([g.warned(), g.mapped(s, 2048)], [1, [1024]]);
  }),
  row(71, '4K at offset 4K of a 2M leaf: nothing is removed', (g, same) => {
    const s = large(g);
    g.link(s, 0, 512);
    g.unlink(s, 1);
    same([g.warned(), g.mapped(s, 512).length], [1, 512]);
  }),
  row(73, '4K at offset 0 of a 2M leaf: all of it is removed', (g, same) => {
    const s = large(g);
    g.link(s, 0, 512);
    g.unlink(s, 0);
    same([g.warned(), g.mapped(s, 512).length], [1, 0]);
  }),
  row(75, '4M link, unlink of the second 2M', (g, same) => {
    const s = large(g, 2);
    g.link(s, 0, 1024);
    g.unlink(s, 512, 512);
    same([g.warned(), g.mapped(s, 1024).length], g.amd ? [1, 1024] : [0, 512]);
  }),
  row(76, '2M link with a misaligned page: single leaves', (g, same) => {
    const s = large(g);
    g.link(s, 0, 512, 1);
    g.unlink(s, 1);
    same([g.warned(), g.mapped(s, 512)], [0, range(0, 512).filter((slot) => slot !== 1)]);
  }),
  row(78, 'aligned 64K link, unlink of its first page', (g, same) => {
    const s = g.pages(16);
    g.link(s, 0, 16);
    g.unlink(s, 0);
    same([g.warned(), g.mapped(s, 16)], g.amd ? [1, []] : [0, range(1, 16)]);
  }),
  row(80, '4K link inside a 2M leaf', (g, same) => {
    const s = large(g);
    g.link(s, 0, 512);
    same([g.link(s, 7), g.warned()], [-EADDRINUSE, 0]);
  }),
  row(81, '2M link over an emptied table frees it at once', (g, same) => {
    const s = large(g);
    g.link(s, 3);
    g.unlink(s, 3);
    const before = g.tables;
    same([g.link(s, 0, 512), g.tables - before], [0, -1]);
    same(g.machine.counters.snapshot().get('dma.tblPinned'), 0);
  }),
  row(82, '2M link over a table with one live leaf', (g, same) => {
    const s = large(g);
    g.link(s, 3);
    same([g.link(s, 0, 512), g.mapped(s, 512)], [-EADDRINUSE, [3]]);
  }),
];
