import { H1 } from './h1.ts';
import { H2 } from './h2.ts';
import { H3 } from './h3.ts';
import { HMM_B1 } from './hmm-b1.ts';
import { HMM_B2 } from './hmm-b2.ts';
import { HMM_B3 } from './hmm-b3.ts';
import { HMM_B4 } from './hmm-b4.ts';
import { HMM_B5 } from './hmm-b5.ts';
import { HMM_B6 } from './hmm-b6.ts';
import { HMM_B7 } from './hmm-b7.ts';
import { HMM_B8 } from './hmm-b8.ts';
import { HMM_B9 } from './hmm-b9.ts';
import { HMM_F1 } from './hmm-f1.ts';
import { HMM_F2 } from './hmm-f2.ts';
import { HMM_F3 } from './hmm-f3.ts';
import { HMM_F4 } from './hmm-f4.ts';
import { HMM_F5 } from './hmm-f5.ts';
import type { MmBug } from './mm-bug.ts';
import { ODP_S21 } from './odp-s21.ts';
import { ODP1 } from './odp1.ts';
import { ODP2 } from './odp2.ts';

/** Bugs of hmm, migrate_vma, interval notifiers and RDMA on-demand paging, in the order of the catalogue. */
export const MM_BUGS: readonly MmBug[] = [
  H1,
  H2,
  HMM_B1,
  HMM_B2,
  HMM_B3,
  HMM_B4,
  HMM_B5,
  HMM_B6,
  HMM_B7,
  HMM_B8,
  HMM_B9,
  HMM_F1,
  HMM_F2,
  HMM_F3,
  HMM_F4,
  HMM_F5,
  H3,
  ODP1,
  ODP2,
  ODP_S21,
];
