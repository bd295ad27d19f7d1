import { EADDRINUSE } from '@gpusvm/kernel';
import {
  DMA_MAPPING_ERROR,
  dmaIovaDestroy,
  type DmaIovaState,
  dmaMapPage,
  dmaMapSg,
  dmaUnmapPage,
  ScatterList,
} from '../../src/index.ts';
import { Golden, hex, PAGE, range, type Row, type Same } from './fixture.ts';

function row(no: number, topic: string, title: string, run: (g: Golden, same: Same) => void): Row {
  return { no, topic, title, run: (backend, same) => run(new Golden(backend), same) };
}

function destroy(g: Golden, state: DmaIovaState, pages: number): void {
  dmaIovaDestroy(g.dev, state, pages * PAGE, 0, 0);
}

function map(g: Golden, at: number): number {
  return dmaMapPage(g.dev, g.pfn + at, 0, PAGE, 0, 0);
}

const D = 'destroy / free';
const C = 'classic API';

export const destroyRows: readonly Row[] = [
  row(83, D, 'destroy(0) frees; the size stays readable; the IOVA is reused', (g, same) => {
    const s = g.pages(4);
    destroy(g, s, 0);
    same([g.warned(), s.size, g.pages(4).addr], [0, 4 * PAGE, s.addr]);
  }),
  row(84, D, 'destroy(full) unmaps and frees', (g, same) => {
    const s = g.pages(4);
    g.link(s, 0, 4);
    destroy(g, s, 4);
    same([g.warned(), g.mapped(s, 4), g.pages(4).addr], [0, [], s.addr]);
  }),
  row(85, D, 'destroy of half a 4-page link', (g, same) => {
    const s = g.pages(4);
    g.link(s, 0, 4);
    destroy(g, s, 2);
    same([g.warned(), g.mapped(s, 4)], g.amd ? [1, []] : [0, [2, 3]]);
  }),
  row(86, D, 'the next owner of that IOVA meets the leftover', (g, same) => {
    const s = g.pages(4);
    g.link(s, 0, 4);
    destroy(g, s, 2);
    const next = g.pages(4);
    same(next.addr, s.addr);
    same([g.link(next, 0, 2), g.link(next, 2)], g.amd ? [0, 0] : [0, -EADDRINUSE]);
  }),
  row(88, D, 'slots 0 and 2 linked, destroy of three pages', (g, same) => {
    const s = g.pages(4);
    g.link(s, 0);
    g.link(s, 2);
    destroy(g, s, 3);
    same([g.warned(), g.mapped(s, 4), g.pages(4).addr], [1, [2], s.addr]);
  }),
  row(89, D, 'two of four linked, destroy of four pages', (g, same) => {
    const s = g.pages(4);
    g.link(s, 0);
    g.link(s, 1);
    destroy(g, s, 4);
    same([g.warned(), g.mapped(s, 4)], [1, []]);
  }),
  row(90, D, 'destroy(1 page) of an 8-page reservation frees it whole', (g, same) => {
    const s = g.pages(8);
    g.link(s, 0);
    destroy(g, s, 1);
    same(g.warned(), 0);
    same(g.pages(1).addr === s.addr, false);
    same(g.pages(8).addr, s.addr);
  }),
  row(93, D, 'double free of one page: two owners', (g, same) => {
    const s = g.pages(1);
    g.free(s);
    g.free(s);
    same([g.warned(), g.pages(1).addr, g.pages(1).addr], [0, s.addr, s.addr]);
  }),
  row(94, D, 'double free of 64 pages: silently nothing', (g, same) => {
    const s = g.pages(64);
    g.free(s);
    g.free(s);
    const next = [g.pages(64).addr, g.pages(64).addr];
    same(g.warned(), 0);
    same(next[0] === next[1], false);
  }),
  row(96, D, 'free while linked: the leaf stays and breaks later owners', (g, same) => {
    const s = g.pages(1);
    g.link(s, 0);
    g.free(s);
    same(
      [map(g, 1), map(g, 2), map(g, 3)],
      range(0, 3).map(() => DMA_MAPPING_ERROR),
    );
    same([g.warned(), g.mapped(s, 1)], [0, [0]]);
  }),
  row(98, C, 'six map_page, two unmaps, two map_page', (g, same) => {
    const addrs = range(0, 6).map((at) => map(g, at));
    same([hex(addrs[0]!), hex(addrs[5]!)], ['fffff000', 'ffffa000']);
    dmaUnmapPage(g.dev, addrs[1]!, PAGE, 0, 0);
    dmaUnmapPage(g.dev, addrs[4]!, PAGE, 0, 0);
    same([map(g, 6), map(g, 7)], [addrs[4], addrs[1]]);
  }),
  row(100, C, 'map_sg of four scattered pages is one segment', (g, same) => {
    const sg = new ScatterList(4);
    for (const at of [0, 2, 4, 6]) sg.push((g.pfn + at) * PAGE, PAGE);
    same([dmaMapSg(g.dev, sg, 0, 0), sg.dmaLengthBytes[0]], [1, 0x4000]);
  }),
  row(101, C, 'map_sg of 4096, 2048 and 4096 bytes is two segments', (g, same) => {
    const sg = new ScatterList(3);
    sg.push(g.pfn * PAGE, 4096);
    sg.push((g.pfn + 2) * PAGE, 2048);
    sg.push((g.pfn + 4) * PAGE, 4096);
    same(dmaMapSg(g.dev, sg, 0, 0), 2);
    const base = sg.dmaAddrBytes[0]!;
    same([sg.dmaLengthBytes[0], sg.dmaAddrBytes[1]! - base, sg.dmaLengthBytes[1]], [0x1800, 0x2000, 0x1000]);
  }),
  row(104, C, 'map_sg of three contiguous pages is one segment', (g, same) => {
    const sg = new ScatterList(3);
    for (const at of range(0, 3)) sg.push((g.pfn + at) * PAGE, PAGE);
    same(dmaMapSg(g.dev, sg, 0, 0), 1);
  }),
];
