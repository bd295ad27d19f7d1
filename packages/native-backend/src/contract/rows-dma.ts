import { ATTACHED, BASE, P } from './rows-common.ts';
import type { Row } from './row.ts';

type OneStep = Row['program'][number];
const map = (ioas: number, at: number, pages: number, iova: number): OneStep => ({
  op: 'map',
  ioas,
  at: at * P,
  length: pages * P,
  iova,
});
const write = (iova: number): OneStep => ({ op: 'dmaWrite', iova, length: 512, seed: 7 });
const read = (iova: number): OneStep => ({ op: 'dmaRead', iova, length: 512 });
const ONLY = ['vtd', 'amd'] as const;

/** What a device really reaches. Digests stand for 512 bytes of pattern 7, written by the device or by the CPU. */
export const DMA_ROWS: readonly Row[] = [
  {
    name: 'the device writes and reads through a mapping',
    program: [...ATTACHED, map(0, 3, 2, BASE), write(BASE), read(BASE), read(BASE + P)],
    lines: ['dmaWrite: arrived in 3:327349b2', 'dmaRead: e6129507', 'dmaRead: b6f9784c'],
    only: ONLY,
  },
  {
    name: 'a write to a read-only mapping does not arrive, a read does',
    program: [
      ...ATTACHED,
      { op: 'map', ioas: 0, at: 0, length: P, iova: BASE, access: 'r' },
      { op: 'fill', at: 0, length: 512, seed: 7 },
      { op: 'dmaWrite', iova: BASE, length: 512, seed: 8 },
      read(BASE),
    ],
    lines: ['dmaWrite: nothing arrived', 'dmaRead: e6129507'],
    only: ONLY,
  },
  {
    name: 'a read from a write-only mapping gets nothing',
    program: [
      ...ATTACHED,
      { op: 'fill', at: 0, length: 512, seed: 7 },
      { op: 'map', ioas: 0, at: 0, length: P, iova: BASE, access: 'w' },
      read(BASE),
    ],
    lines: ['dmaRead: -'],
    differs: [
      {
        on: { driver: 'vtd', kernel: '6.12' },
        reason: 'the old page table sets bit 0 of every entry as present, which is the permission to read',
        lines: ['dmaRead: e6129507'],
      },
    ],
    only: ONLY,
  },
  {
    name: 'after the unmap no byte arrives and none is read',
    program: [
      ...ATTACHED,
      map(0, 0, 4, BASE),
      write(BASE),
      { op: 'unmap', ioas: 0, iova: BASE, length: 4 * P },
      { op: 'dmaWrite', iova: BASE, length: 512, seed: 8 },
      read(BASE),
    ],
    lines: ['unmap: 0 length=0x4000', 'dmaWrite: nothing arrived', 'dmaRead: -'],
    only: ONLY,
  },
  {
    name: 'memory stays pinned after the process unmapped it: the device still reads it',
    program: [
      ...ATTACHED,
      { op: 'region', length: P },
      { op: 'fill', region: 1, at: 0, length: 512, seed: 7 },
      { op: 'map', ioas: 0, region: 1, at: 0, length: P, iova: BASE },
      { op: 'munmap', region: 1 },
      read(BASE),
    ],
    lines: ['munmap: 0', 'dmaRead: e6129507'],
    only: ONLY,
  },
  {
    name: 'after a replace the new mapping works and the old address is dead',
    program: [
      ...ATTACHED,
      map(0, 0, 1, BASE),
      write(BASE),
      { op: 'ioas' },
      { op: 'copy', from: 0, iova: BASE, length: P, to: 1, toIova: 0x1700000 },
      { op: 'attach', ioas: 1 },
      read(0x1700000),
      read(BASE),
    ],
    lines: ['attach: 0 hwpt=5', 'dmaRead: e6129507', 'dmaRead: -'],
    only: ONLY,
  },
  {
    name: 'a transfer into an unmapped page loses that part only',
    program: [...ATTACHED, map(0, 0, 1, BASE), { op: 'dmaWrite', iova: BASE + 3584, length: 1024, seed: 7 }],
    lines: ['dmaWrite: arrived in 0:be343e9f'],
    only: ONLY,
  },
];
