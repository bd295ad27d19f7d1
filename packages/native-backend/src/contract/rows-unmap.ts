import { ATTACHED, BASE, P } from './rows-common.ts';
import type { Row } from './row.ts';

const map = (at: number, pages: number, iova: number): Row['program'][number] => ({
  op: 'map',
  ioas: 0,
  at: at * P,
  length: pages * P,
  iova,
});
const unmap = (iova: number, pages: number): Row['program'][number] => ({
  op: 'unmap',
  ioas: 0,
  iova,
  length: pages * P,
});
/** The arena's area and the window are all that is mapped. */
const ALL: Row['program'][number] = { op: 'unmap', ioas: 0, iova: 0, length: '0xffffffffffffffff' };

/** IOMMU_IOAS_UNMAP and automatic placement. */
export const UNMAP_ROWS: readonly Row[] = [
  {
    name: 'an unmap across a hole takes both sides and returns the bytes really unmapped',
    program: [...ATTACHED, map(0, 1, BASE), map(2, 1, BASE + 2 * P), unmap(BASE, 3), map(0, 3, BASE)],
    lines: ['unmap: 0 length=0x2000', 'map: 0 iova=0x1100000'],
  },
  {
    name: 'an unmap where nothing is mapped',
    program: [...ATTACHED, unmap(BASE, 1)],
    lines: ['unmap: ENOENT'],
  },
  {
    name: 'an unmap that would split an area is ENOENT and unmaps nothing',
    program: [
      ...ATTACHED,
      map(0, 4, BASE),
      unmap(BASE, 1),
      unmap(BASE + P, 1),
      unmap(BASE + 2 * P, 8),
      unmap(BASE, 4),
    ],
    lines: ['unmap: ENOENT', 'unmap: ENOENT', 'unmap: ENOENT', 'unmap: 0 length=0x4000'],
  },
  {
    name: 'an unmap that would split its second area has unmapped the first',
    program: [...ATTACHED, map(0, 1, BASE), map(1, 4, BASE + P), unmap(BASE, 2), map(0, 1, BASE)],
    lines: ['unmap: ENOENT', 'map: 0 iova=0x1100000'],
  },
  {
    name: 'a superset unmaps the area',
    program: [...ATTACHED, map(0, 4, BASE), unmap(BASE - 2 * P, 8)],
    lines: ['unmap: 0 length=0x4000'],
  },
  {
    name: '[0, U64_MAX] unmaps all and returns the sum',
    program: [...ATTACHED, map(0, 4, BASE), map(8, 1, BASE + 64 * P), ALL],
    lines: ['unmap: 0 length=0x1a000'],
  },
  {
    name: '[0, U64_MAX] of an empty address space succeeds with length 0',
    program: [...ATTACHED, ALL, ALL],
    lines: ['unmap: 0 length=0x15000', 'unmap: 0 length=0x0'],
  },
  {
    name: 'length 0 is EINVAL, a wrap EOVERFLOW, an unknown address space ENOENT',
    program: [
      ...ATTACHED,
      { op: 'unmap', ioas: 0, iova: BASE, length: 0 },
      { op: 'unmap', ioas: 0, iova: '0xfffffffffffff000', length: 2 * P },
      { op: 'unmap', ioas: 0, iova: 4096, length: '0xffffffffffffffff' },
      { op: 'unmap', ioas: 99, iova: BASE, length: P },
    ],
    lines: ['unmap: EINVAL', 'unmap: EOVERFLOW', 'unmap: EOVERFLOW', 'unmap: ENOENT'],
  },
  {
    name: 'automatic placement goes bottom up from the first page',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: P, length: P },
      { op: 'map', ioas: 0, at: 2 * P, length: P },
      { op: 'map', ioas: 0, at: 3 * P, length: P },
    ],
    lines: ['map: 0 iova=0x1000', 'map: 0 iova=0x2000', 'map: 0 iova=0x3000'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the aperture of the mock device starts at 16 MiB',
        lines: ['map: 0 iova=0x1000000', 'map: 0 iova=0x1001000', 'map: 0 iova=0x1002000'],
      },
    ],
  },
  {
    name: 'automatic placement keeps the alignment of the memory as far as the length is worth it',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: P, length: P },
      { op: 'map', ioas: 0, at: 0, length: 16 * P },
      { op: 'map', ioas: 0, at: 8 * P, length: 16 * P },
    ],
    lines: ['map: 0 iova=0x1000', 'map: 0 iova=0x10000', 'map: 0 iova=0x20000'],
    differs: [
      {
        on: { driver: 'mock' },
        reason: 'the aperture of the mock device starts at 16 MiB',
        lines: ['map: 0 iova=0x1000000', 'map: 0 iova=0x1010000', 'map: 0 iova=0x1020000'],
      },
    ],
  },
  {
    name: 'automatic placement fills a hole that an unmap left',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: P, length: P },
      { op: 'map', ioas: 0, at: 2 * P, length: P },
      unmap(P, 1),
      { op: 'map', ioas: 0, at: 3 * P, length: P },
    ],
    lines: ['unmap: 0 length=0x1000', 'map: 0 iova=0x1000'],
    only: ['vtd', 'amd'],
  },
  {
    name: 'automatic placement stays inside of the allowed ranges, and a reserved range cannot be allowed',
    program: [
      ...ATTACHED,
      { op: 'allow', ioas: 0, ranges: [[0x2000000, 0x2001fff]] },
      { op: 'map', ioas: 0, at: P, length: 2 * P },
      { op: 'map', ioas: 0, at: 3 * P, length: P },
      { op: 'allow', ioas: 0, ranges: [[0xfee00000, 0xfee00fff]] },
    ],
    lines: ['allow: 0', 'map: 0 iova=0x2000000', 'map: ENOSPC', 'allow: EADDRINUSE'],
  },
  {
    name: 'allowed ranges that touch are one range',
    program: [
      ...ATTACHED,
      {
        op: 'allow',
        ioas: 0,
        ranges: [
          [0x200e000, 0x2013fff],
          [0x200c000, 0x200dfff],
        ],
      },
      { op: 'map', ioas: 0, at: 2 * P, length: 4 * P },
      { op: 'map', ioas: 0, at: 2 * P, length: 2 * P },
    ],
    lines: ['allow: 0', 'map: 0 iova=0x200c000', 'map: 0 iova=0x2010000'],
  },
];
