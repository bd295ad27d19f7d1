import { row, type Section8Row } from './row.ts';

const LAZY = { mode: 'lazy' } as const;
const TWO_MEGS: readonly string[] = [
  'alloc 0 0 200000',
  // A page offset between IOVA and memory keeps the leaves small.
  'link 0 1000 0 200000 0 0 ~ -',
];

/** VT-d without caching mode; not measured on AMD. */
export const invalidationRows: readonly Section8Row[] = [
  row(117, 'link and sync', ['alloc 0 0 1000', 'link 0 0 0 1000 0 0 ~ -', 'sync 0 0 1000 ~ -']),
  row(118, 'unlink of 1 page and of 5', [
    'alloc 0 0 1000',
    'link 0 0 0 1000 0 0',
    'alloc 1 0 5000',
    'link 1 0 0 5000 0 0',
    'unlink 0 0 1000 0 0 ~ 0',
    'unlink 1 0 5000 0 0 ~ 3',
  ]),
  row(119, 'four one-page unlinks', [
    'alloc 0 0 4000',
    'link 0 0 0 4000 0 0',
    'unlink 0 0 1000 0 0 ~ 0',
    'unlink 0 1000 1000 0 0 ~ 0',
    'unlink 0 2000 1000 0 0 ~ 0',
    'unlink 0 3000 1000 0 0 ~ 0',
  ]),
  row(120, 'unlinks that clear nothing', [
    'alloc 0 0 200000',
    'unlink 0 0 1000 0 0 ~ -',
    'link 0 0 0 200000 0 0 ~ -',
    'unlink 0 0 0 0 0 ~ -',
    'unlink 0 1000 1000 0 0 ~ -',
  ]),
  row(121, 'slots 0, 1, 3 linked, unlink 4', [
    'alloc 0 0 4000',
    'link 0 0 0 2000 0 0',
    'link 0 3000 3000 1000 0 0',
    'unlink 0 0 4000 0 0 ~ 1',
  ]),
  row(122, '2M of 4K leaves', [...TWO_MEGS, 'unlink 0 0 200000 0 0 ~ 9']),
  row(124, 'a failing 3-page link', [
    'alloc 0 0 4000',
    'link 0 2000 2000 1000 0 0 ~ -',
    'link 0 0 0 3000 0 0 ~ 1',
  ]),
  row(125, '2M link over an emptied table', [
    'alloc 0 0 200000',
    'link 0 0 0 1000 0 0',
    'unlink 0 0 1000 0 0 ~ 0',
    'link 0 0 0 200000 0 0 ~ 9',
  ]),
  row(128, '16-page destroy', ['alloc 0 0 10000', 'link 0 0 0 10000 0 0', 'destroy 0 10000 0 0 ~ 4']),
  row(
    128,
    '16-page destroy, lazy',
    ['alloc 0 0 10000', 'link 0 0 0 10000 0 0', 'destroy 0 10000 0 0 ~ 4'],
    LAZY,
  ),
  row(129, 'map_page and unmap_page, strict', ['map_page 0 0 1000 0 0 ~ -', 'unmap_page 0 1000 0 0 ~ 0']),
  row(
    129,
    'map_page and unmap_page, lazy',
    ['map_page 0 0 1000 0 0 ~ -', 'unmap_page 0 1000 0 0 ~ -', 'wait ~ domain'],
    LAZY,
  ),
];
