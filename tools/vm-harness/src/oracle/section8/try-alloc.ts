import { row, type Section8Row } from './row.ts';

/** Rows 10 and 11; the addresses are those below 4 GiB. */
const SEQUENCE: readonly (readonly [string, string?])[] = [
  ['alloc 0 0 1000', 'fffff000 1000'],
  ['alloc 1 0 1000', 'ffffe000 1000'],
  ['alloc 2 0 3000', 'ffff8000 3000'],
  ['alloc 3 0 5000', 'ffff0000 5000'],
  ['alloc 4 0 20000', 'fffc0000 20000'],
  ['alloc 5 0 21000', 'fff80000 21000'],
  ['alloc 6 0 200000', 'ffc00000 200000'],
  ['alloc 7 0 201000', 'ff800000 201000'],
  ['alloc 8 123 edd', 'ff7ff123 edd'],
  ['alloc 9 800 1000', 'ff7fc800 1000'],
  ['free 1'],
  ['alloc a 0 1000', 'ffffe000 1000'],
  ['free 2'],
  ['alloc b 0 4000', 'ffff8000 4000'],
  ['free 4'],
  ['alloc c 0 11000', 'fffc0000 11000'],
  ['free 5'],
  ['alloc d 0 40000', 'fff80000 40000'],
  ['alloc e 0 21000', 'fff40000 21000'],
  ['free 6'],
  ['alloc f 0 200000', 'ffc00000 200000'],
  ['free 7'],
  ['alloc 10 0 12c000', 'ffa00000 12c000'],
  ['alloc 11 0 1000', 'ff9ff000 1000'],
  ['free 0'],
  ['free a'],
  ['alloc 12 0 1000', 'ffffe000 1000'],
  ['alloc 13 0 1000', 'fffff000 1000'],
];

const sequence = (high: string): string[] =>
  SEQUENCE.map(([call, result]) => (result === undefined ? call : `${call} => 1 ${high}${result}`));

/** In one round under masks of 32, 28 and 24 bits: one page, freed again, then 64 pages. */
const MASKS: readonly string[] = [
  'alloc 0 0 1000 => 1 fffff000 1000',
  'free 0',
  'mask 20 => 0',
  'alloc 1 0 1000 => 1 fffff000 1000',
  'free 1',
  'alloc 2 0 40000 => 1 fff80000 40000',
  'mask 1c => 0',
  'alloc 3 0 1000 => 1 ffff000 1000',
  'free 3',
  'alloc 4 0 40000 => 1 ff80000 40000',
  'mask 18 => 0',
  'alloc 5 0 1000 => 1 fff000 1000',
  'free 5',
  'alloc 6 0 40000 => 1 f80000 40000',
];

const LARGE: readonly string[] = [
  'alloc 0 0 40000000 => 1 ffc0000000 40000000 | 1 fcc0000000 40000000',
  'alloc 1 0 40000000 => 1 ff80000000 40000000 | 1 fc80000000 40000000',
  'alloc 2 0 40000000 => 1 ff40000000 40000000 | 1 fc40000000 40000000',
  'alloc 3 0 40000000 => 1 ff00000000 40000000 | 1 fc00000000 40000000',
  'alloc 4 0 100000000 => 1 fe00000000 100000000 | 1 fb00000000 100000000',
  'alloc 5 0 200000 => 1 fdffe00000 200000 | 1 faffe00000 200000',
  'alloc 6 0 1000 => 1 fdffdff000 1000 | 1 faffdff000 1000',
];

export const tryAllocRows: readonly Section8Row[] = [
  row(1, 'page sizes and aperture', ['domain => 40201000 0-ffffffffffff | 7f7ffffff000 0-ffffffffffff']),
  row(2, 'limits', ['limits => fff 20000 ffffffffffffffff 10000 ffffffff']),
  row(3, 'reserved windows are never handed out', [
    ...LARGE,
    // Below 4 GiB there is 4000 0000 to afff ffff and c000 0000 to febf ffff in the way: what is left is small.
    'mask 20 => 0',
    'alloc 7 0 40000000 => 0 0 0',
    'alloc 8 0 10000000 => 1 b0000000 10000000',
    'alloc 9 0 10000000 => 1 30000000 10000000',
  ]),
  row(
    5,
    'identity: no reservation, no warning, DMA address = physical address',
    [
      'alloc 0 0 1000 => 0 0 0',
      'alloc 0 0 0 => 0 0 0',
      'state 0 => 0 0 0 0',
      'map_phys 0 5000 1000 0 0 => p5000',
      'limits => 0 ffffffffffffffff ffffffffffffffff 10000 ffffffff',
    ],
    { mode: 'identity' },
  ),
  row(7, 'size 0 twice', ['alloc 0 0 0 => 0 0 0 !1', 'alloc 0 0 0 => 0 0 0', 'state 0 => 0 0 0 0']),
  row(9, 'phys 2M+5: the offset stays, two pages', [
    'alloc 0 200005 1000 => 1 ffffe005 1000',
    'alloc 1 0 1000 => 1 ffffd000 1000',
  ]),
  row(10, 'the recorded sequence, part 1', sequence('').slice(0, 20)),
  row(11, 'the recorded sequence, part 2', sequence('')),
  row(15, 'the recorded sequence with a 64-bit mask and forcedac', ['mask 40 => 0', ...sequence('ffff')], {
    forcedac: true,
  }),
  row(16, 'large reservations clear the 32-bit preference', LARGE),
  row(18, '512 GiB, 1 TiB and 256 TiB do not fit', [
    ...LARGE,
    'alloc 7 0 8000000000 => 0 0 0',
    'alloc 7 0 10000000000 => 0 0 0',
    'alloc 7 0 1000000000000 => 0 0 0',
  ]),
  row(
    20,
    'large reservations from the top of the aperture with forcedac',
    [
      'mask 40 => 0',
      'alloc 0 0 40000000 => 1 ffffc0000000 40000000',
      'alloc 1 0 40000000 => 1 ffff80000000 40000000',
      'alloc 2 0 40000000 => 1 ffff40000000 40000000',
      'alloc 3 0 40000000 => 1 ffff00000000 40000000',
      'alloc 4 0 100000000 => 1 fffe00000000 100000000',
      'alloc 5 0 200000 => 1 fffdffe00000 200000',
    ],
    { forcedac: true },
  ),
  row(21, 'one page under smaller masks', MASKS),
  row(22, '64 pages under smaller masks', MASKS),
  row(24, 'back to 40 bits: the cached page comes back', [
    ...MASKS,
    'mask 28',
    'alloc 7 0 1000 => 1 fff000 1000',
  ]),
  row(25, 'the cache is last in, first out', [
    'alloc 0 0 1000',
    'alloc 1 0 1000',
    'alloc 2 0 1000',
    'alloc 3 0 1000',
    'free 0',
    'free 1',
    'free 2',
    'free 3',
    'alloc 4 0 1000 => 1 ffffc000 1000',
    'alloc 5 0 1000 => 1 ffffd000 1000',
    'alloc 6 0 1000 => 1 ffffe000 1000',
    'alloc 7 0 1000 => 1 fffff000 1000',
  ]),
];
