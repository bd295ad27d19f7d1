import { ATTACHED, BASE, P } from './rows-common.ts';
import type { Row } from './row.ts';

type OneStep = Row['program'][number];
const MAP: OneStep = { op: 'map', ioas: 0, at: 0, length: 8 * P, iova: BASE };
const HALF = P / 2;

/** What only the mock device can do: dirty tracking. */
export const MOCK_ROWS: readonly Row[] = [
  {
    name: 'dirty tracking starts with nothing dirty, and is refused on a page table without it',
    program: [
      ...ATTACHED,
      MAP,
      { op: 'hwpt', ioas: 0, dirty: true },
      { op: 'hwpt', ioas: 0 },
      { op: 'dirty', hwpt: 0, on: true },
      { op: 'dirty', hwpt: 1, on: true },
      { op: 'readDirty', hwpt: 0, iova: BASE, length: 8 * P, page: HALF },
      { op: 'readDirty', hwpt: 1, iova: BASE, length: 8 * P, page: HALF },
    ],
    lines: ['dirty: 0', 'dirty: EOPNOTSUPP', 'readDirty: 0 bitmap=0x0', 'readDirty: EOPNOTSUPP'],
    only: ['mock'],
  },
  {
    name: 'a dirty bitmap has to be aligned; holes are clean, and so is everything while tracking is off',
    program: [
      ...ATTACHED,
      MAP,
      { op: 'hwpt', ioas: 0, dirty: true },
      { op: 'readDirty', hwpt: 0, iova: BASE, length: 8 * P, page: HALF },
      { op: 'dirty', hwpt: 0, on: true },
      { op: 'readDirty', hwpt: 0, iova: BASE + 1, length: 8 * P, page: HALF },
      { op: 'readDirty', hwpt: 0, iova: BASE, length: 8 * P, page: 0 },
      { op: 'readDirty', hwpt: 0, iova: BASE, length: 9 * P, page: HALF },
      { op: 'readDirty', hwpt: 0, iova: '0xfffffffffffff000', length: 2 * P, page: HALF },
      { op: 'dirty', hwpt: 0, on: false },
      { op: 'readDirty', hwpt: 0, iova: BASE, length: 8 * P, page: P },
    ],
    lines: [
      'readDirty: 0 bitmap=0x0',
      'dirty: 0',
      'readDirty: EINVAL',
      'readDirty: EINVAL',
      'readDirty: 0 bitmap=0x0',
      'readDirty: EOVERFLOW',
      'dirty: 0',
      'readDirty: 0 bitmap=0x0',
    ],
    only: ['mock'],
  },
];
