import type { Bug } from './bug.ts';
import { BLK1 } from './blk1.ts';
import { BLK2 } from './blk2.ts';
import { BLK3 } from './blk3.ts';
import { BLK4 } from './blk4.ts';
import { BLK5 } from './blk5.ts';
import { D2 } from './d2.ts';
import { D3 } from './d3.ts';
import { D4 } from './d4.ts';
import { D5 } from './d5.ts';
import { D6 } from './d6.ts';
import { D7 } from './d7.ts';
import { D8 } from './d8.ts';
import { G1 } from './g1.ts';
import { G2 } from './g2.ts';
import { G9 } from './g9.ts';
import { L2 } from './l2.ts';
import { L3 } from './l3.ts';
import { N1 } from './n1.ts';
import { P1 } from './p1.ts';
import { P11 } from './p11.ts';
import { P12 } from './p12.ts';
import { P9 } from './p9.ts';
import { RFC3_1 } from './rfc3-1.ts';
import { RFC3_2 } from './rfc3-2.ts';
import { RFC3_4 } from './rfc3-4.ts';
import { RFC3_5 } from './rfc3-5.ts';
import { RFC3_6 } from './rfc3-6.ts';
import { RFC3_7 } from './rfc3-7.ts';
import { U9 } from './u9.ts';
import { V2 } from './v2.ts';
import { V4 } from './v4.ts';
import { V4B } from './v4b.ts';

/** Every bug that can be shown on the DMA layer, in the order of the catalogue. */
export const BUGS: readonly Bug[] = [
  D2,
  D3,
  D4,
  D5,
  D6,
  D7,
  D8,
  BLK1,
  BLK2,
  BLK3,
  BLK4,
  BLK5,
  V2,
  L2,
  L3,
  V4,
  V4B,
  U9,
  G1,
  G2,
  G9,
  P1,
  P9,
  P11,
  P12,
  N1,
  RFC3_1,
  RFC3_2,
  RFC3_4,
  RFC3_5,
  RFC3_6,
  RFC3_7,
];

/** A row of the catalogue that is not replayed. */
export interface NotShown {
  readonly id: string;
  readonly why: string;
}

/** Rows of the catalogue whose defect no call of the DMA layer shows, with the reason. */
export const NOT_SHOWN: readonly NotShown[] = [
  { id: 'RFC3-3', why: 'a lock of drm_gpusvm is released twice; the DMA calls are right' },
  { id: 'V3', why: 'shown as its halves L2 and L3' },
  { id: 'L1', why: 'the same as P9' },
];
