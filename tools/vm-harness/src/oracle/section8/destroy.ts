import { row, type Section8Row } from './row.ts';

const FOUR: readonly string[] = ['alloc 0 0 4000 => 1 ffffc000 4000'];

export const destroyRows: readonly Section8Row[] = [
  row(83, 'destroy(0), nothing linked', [
    ...FOUR,
    'destroy 0 0 0 0 => ok',
    'state 0 => 1 ffffc000 4000 0',
    'alloc 1 0 4000 => 1 ffffc000 4000',
  ]),
  row(84, 'destroy(full)', [
    ...FOUR,
    'link 0 0 0 4000 0 0',
    'destroy 0 4000 0 0 => ok',
    'dump => none',
    'alloc 1 0 4000 => 1 ffffc000 4000',
  ]),
  row(85, 'one 4-page link, destroy(2 pages)', [
    ...FOUR,
    'link 0 0 0 4000 0 0',
    'destroy 0 2000 0 0 => ok | ok !1',
    'dump => ffffe000+2:p2000 | none',
  ]),
  row(86, 'the next owner of that IOVA', [
    ...FOUR,
    'link 0 0 0 4000 0 0',
    'destroy 0 2000 0 0',
    'alloc 1 0 4000 => 1 ffffc000 4000',
    'link 1 8000 0 2000 0 0 => 0',
    'link 1 a000 2000 1000 0 0 => -98 | 0',
  ]),
  row(88, 'slots 0 and 2 linked, destroy(3 pages)', [
    ...FOUR,
    'link 0 0 0 1000 0 0',
    'link 0 2000 2000 1000 0 0',
    'destroy 0 3000 0 0 => ok !1',
    'dump => ffffe000+1:p2000',
    'alloc 1 0 4000 => 1 ffffc000 4000',
  ]),
  row(89, '2 of 4 linked, destroy(4 pages)', [
    ...FOUR,
    'link 0 0 0 1000 0 0',
    'link 0 1000 1000 1000 0 0',
    'destroy 0 4000 0 0 => ok !1',
    'dump => none',
  ]),
  row(90, '8-page reservation, destroy(1 page)', [
    'alloc 0 0 8000 => 1 ffff8000 8000',
    'link 0 0 0 1000 0 0',
    'destroy 0 1000 0 0 => ok',
    'alloc 1 0 1000 => 1 ffff7000 1000',
    'alloc 2 0 8000 => 1 ffff8000 8000',
  ]),
  row(93, 'double free, 1 page', [
    'alloc 0 0 1000',
    'free 0 => ok',
    'free 0 => ok',
    'alloc 1 0 1000 => 1 fffff000 1000',
    'alloc 2 0 1000 => 1 fffff000 1000',
  ]),
  row(94, 'double free, 64 pages', [
    'alloc 0 0 40000',
    'free 0 => ok',
    'free 0 => ok',
    'alloc 1 0 40000 => 1 fffc0000 40000',
    'alloc 2 0 40000 => 1 fff80000 40000',
  ]),
  row(96, 'free while 1 page linked, then 3 × dma_map_page', [
    'alloc 0 0 1000',
    'link 0 0 0 1000 0 0',
    'free 0 => ok',
    'dump => fffff000+1:p0',
    'map_page 0 5000 1000 0 0 => error',
    'map_page 0 5000 1000 0 0 => error',
    'map_page 0 5000 1000 0 0 => error',
  ]),
  row(98, 'classic API on a fresh domain', [
    'map_page 0 0 1000 0 0 => fffff000',
    'map_page 1 1000 1000 0 0 => ffffe000',
    'map_page 2 2000 1000 0 0 => ffffd000',
    'map_page 3 3000 1000 0 0 => ffffc000',
    'map_page 4 4000 1000 0 0 => ffffb000',
    'map_page 5 5000 1000 0 0 => ffffa000',
    'unmap_page 1 1000 0 0 => ok',
    'unmap_page 4 1000 0 0 => ok',
    'map_page 6 6000 1000 0 0 => ffffb000',
    'map_page 7 7000 1000 0 0 => ffffe000',
  ]),
  row(100, 'map_sg of 4 scattered pages', [
    'map_sg 0 0 0 3000 1000 2000 1000 1000 1000 0 1000 => 1 ffffc000+4000',
    'dump => ffffc000+1:p3000 ffffd000+1:p2000 ffffe000+1:p1000 fffff000+1:p0',
    'unmap_sg 0 0 0 => ok',
    'dump => none',
  ]),
  row(101, 'map_sg of 4096, 2048, 4096 bytes', [
    'map_sg 0 0 0 0 1000 2000 800 4000 1000 => 2 ffffc000+1800 ffffe000+1000',
  ]),
  row(104, 'map_sg of three contiguous pages', [
    'map_sg 0 0 0 0 1000 1000 1000 2000 1000 => 1 ffffc000+3000',
  ]),
];
