import { row, type Section8Row } from './row.ts';

const LAZY = { mode: 'lazy' } as const;
const singleLinks = (count: number): string[] =>
  Array.from(
    { length: count },
    (_, i) => `link 0 ${(i * 4096).toString(16)} ${(i * 4096).toString(16)} 1000 0 0`,
  );
const singleUnlinks = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `unlink 0 ${(i * 4096).toString(16)} 1000 0 0`);
/** A 2M region below the top, and a table somewhere else, so that upper tables are there already. */
const REGION: readonly string[] = [
  'alloc 1 0 1000',
  'link 1 0 0 1000 0 0',
  'alloc 0 0 200000',
  'tables => 3 | 2',
];

export const lazyTableRows: readonly Section8Row[] = [
  row(
    106,
    'lazy: destroy is strict, the IOVA is there at once',
    [
      'alloc 0 0 1000 => 1 fffff000 1000',
      'link 0 0 0 1000 0 0',
      'destroy 0 1000 0 0',
      'alloc 1 0 1000 => 1 fffff000 1000',
    ],
    LAZY,
  ),
  row(
    107,
    'lazy: unmap_page hides the translation and keeps the IOVA',
    [
      'map_page 0 0 1000 0 0 => fffff000',
      'unmap_page 0 1000 0 0 => ok',
      'phys fffff000 => none',
      'map_page 1 0 1000 0 0 => ffffe000',
    ],
    LAZY,
  ),
  row(
    108,
    'lazy: after the flush the IOVA is in use again',
    [
      'map_page 0 0 1000 0 0 => fffff000',
      'unmap_page 0 1000 0 0',
      'wait',
      'map_page 1 0 1000 0 0 => fffff000',
    ],
    LAZY,
  ),
  row(
    110,
    'lazy: 64 pages, 0x40000 apart',
    ['map_phys 0 0 40000 0 0 => fffc0000', 'unmap_phys 0 40000 0 0', 'map_phys 1 0 40000 0 0 => fff80000'],
    LAZY,
  ),
  row(111, '512 one-page links, one unlink of 2M', [
    ...REGION,
    ...singleLinks(512),
    'tables => 4 | 3',
    'unlink 0 0 200000 0 0 => ok',
    'tables => 3 | 2',
  ]),
  row(112, '2M aligned link', [...REGION, 'link 0 0 0 200000 0 0', 'tables => 3 | 2']),
  row(113, '2M of 4K leaves, 512 one-page unlinks', [
    ...REGION,
    ...singleLinks(512),
    ...singleUnlinks(512),
    'tables => 4 | 3',
    'dump => fffff000+1:p0',
  ]),
  row(115, '511 pages, unlink 511', [
    ...REGION,
    ...singleLinks(511),
    'unlink 0 0 1ff000 0 0 => ok',
    'tables => 4 | 3',
  ]),
  row(116, '512 pages, hole at 300, unlink 2M', [
    ...REGION,
    ...singleLinks(512),
    'unlink 0 12c000 1000 0 0',
    'unlink 0 0 200000 0 0 => ok !1',
    'tables => 4 | 3',
  ]),
];
