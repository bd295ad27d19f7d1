import { row, type Section8Row } from './row.ts';

/** Reserve pages and link some of the slots, one link each. */
function linked(pages: string, slots: readonly number[]): string[] {
  const at = (slot: number): string => (slot * 4096).toString(16);
  return [`alloc 0 0 ${pages}`, ...slots.map((slot) => `link 0 ${at(slot)} ${at(slot)} 1000 0 0`)];
}

export const unlinkRows: readonly Section8Row[] = [
  row(56, 'four links, one unlink', [
    ...linked('4000', [0, 1, 2, 3]),
    'unlink 0 0 4000 0 0 => ok',
    'dump => none',
  ]),
  row(57, 'four links, the middle two', [
    ...linked('4000', [0, 1, 2, 3]),
    'unlink 0 1000 2000 0 0 => ok',
    'dump => ffffc000+1:p0 fffff000+1:p3000',
  ]),
  row(58, 'one 8-page link, slots 2-4', [
    'alloc 0 0 8000',
    'link 0 0 0 8000 0 0',
    'unlink 0 2000 3000 0 0 => ok | ok !1',
    'dump => ffff8000+2:p0 ffffd000+3:p5000 | ffff8000+8:p0',
  ]),
  row(59, 'hole at slot 2 of 4', [
    ...linked('4000', [0, 1, 3]),
    'unlink 0 0 4000 0 0 => ok !1',
    'dump => fffff000+1:p3000',
  ]),
  row(60, 'hole at slot 0 of 4', [
    ...linked('4000', [1, 2, 3]),
    'unlink 0 0 4000 0 0 => ok !1',
    'dump => ffffd000+3:p1000',
  ]),
  row(61, 'hole at slot 3 of 4', [
    ...linked('4000', [0, 1, 2]),
    'unlink 0 0 4000 0 0 => ok !1',
    'dump => none',
  ]),
  row(63, 'unlink 8, only 0-3 linked', [
    ...linked('8000', [0, 1, 2, 3]),
    'unlink 0 0 8000 0 0 => ok !1',
    'dump => none',
  ]),
  row(64, 'unlink twice', [
    ...linked('1000', [0]),
    'unlink 0 0 1000 0 0 => ok',
    'unlink 0 0 1000 0 0 => ok !1',
  ]),
  row(65, 'size 0, aligned', [...linked('1000', [0]), 'unlink 0 0 0 0 0 => ok', 'dump => fffff000+1:p0']),
  row(66, 'size 1 at slot 2', [
    ...linked('4000', [0, 1, 2, 3]),
    'unlink 0 2000 1 0 0 => ok',
    'dump => ffffc000+2:p0 fffff000+1:p3000',
  ]),
  row(68, 'size 0 with a page offset', [
    'alloc 0 10 2ff0 => 1 ffffc010 2ff0',
    'link 0 10 0 2ff0 0 0 => 0',
    'unlink 0 0 0 0 0 => ok | ok !1',
    'dump => ffffd000+2:p1000 | ffffe000+1:p2000',
  ]),
  row(69, 'across missing tables', [
    'alloc 0 0 800000 => 1 ff800000 800000',
    'link 0 1ff000 1ff000 1000 0 0',
    'link 0 600000 600000 1000 0 0',
    'unlink 0 1ff000 402000 0 0 => ok !1',
    'dump => ffe00000+1:p600000',
  ]),
  row(70, 'across an emptied table', [
    'alloc 0 0 800000',
    'link 0 250000 250000 1000 0 0',
    'unlink 0 250000 1000 0 0 => ok',
    'link 0 1ff000 1ff000 1000 0 0',
    'link 0 400000 400000 1000 0 0',
    'unlink 0 1ff000 202000 0 0 => ok !1',
    'dump => ffc00000+1:p400000',
  ]),
  row(71, '4K at offset 4K of a 2M leaf', [
    'alloc 0 0 200000',
    'link 0 0 0 200000 0 0',
    'unlink 0 1000 1000 0 0 => ok !1',
    'dump => ffe00000+200:p0',
  ]),
  row(73, '4K at offset 0 of a 2M leaf', [
    'alloc 0 0 200000',
    'link 0 0 0 200000 0 0',
    'unlink 0 0 1000 0 0 => ok !1',
    'dump => none',
  ]),
  row(75, '4M link, the second 2M', [
    'alloc 0 0 400000',
    'link 0 0 0 400000 0 0',
    'unlink 0 200000 200000 0 0 => ok | ok !1',
    'dump => ffc00000+200:p0 | ffc00000+400:p0',
  ]),
  row(76, '2M link with misaligned phys', [
    'alloc 0 0 200000',
    'link 0 1000 0 200000 0 0',
    'unlink 0 1000 1000 0 0 => ok',
    'dump => ffe00000+1:p1000 ffe02000+1fe:p3000',
  ]),
  row(78, 'aligned 64K link, its first page', [
    'alloc 0 0 10000',
    'link 0 0 0 10000 0 0',
    'unlink 0 0 1000 0 0 => ok | ok !1',
    'dump => ffff1000+f:p1000 | none',
  ]),
  row(80, '4K link inside a 2M leaf', [
    'alloc 0 0 200000',
    'link 0 0 0 200000 0 0',
    'link 0 7000 7000 1000 0 0 => -98',
  ]),
  row(81, '2M link over an emptied table', [
    'alloc 0 0 200000',
    'link 0 3000 3000 1000 0 0',
    'unlink 0 3000 1000 0 0',
    'tables => 3 | 2',
    'link 0 0 0 200000 0 0 => 0',
    'tables => 2 | 1',
  ]),
  row(82, '2M link over a table with one live 4K', [
    'alloc 0 0 200000',
    'link 0 3000 3000 1000 0 0',
    'link 0 0 0 200000 0 0 => -98',
    'dump => ffe03000+1:p3000',
  ]),
];
