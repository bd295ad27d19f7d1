import type { NotShown } from '../catalogue.ts';
import { H1 } from './h1.ts';
import { H2 } from './h2.ts';
import { HMM_B1 } from './hmm-b1.ts';
import { HMM_B2 } from './hmm-b2.ts';
import { HMM_B5 } from './hmm-b5.ts';
import { HMM_B6 } from './hmm-b6.ts';
import { HMM_B7 } from './hmm-b7.ts';
import { HMM_B8 } from './hmm-b8.ts';
import { HMM_F2 } from './hmm-f2.ts';
import type { MmBug } from './mm-bug.ts';
import { ODP2 } from './odp2.ts';

/** Bugs of hmm, migrate_vma, interval notifiers and RDMA on-demand paging, in the order of the catalogue. */
export const MM_BUGS: readonly MmBug[] = [
  H1,
  H2,
  HMM_B1,
  HMM_B2,
  HMM_B5,
  HMM_B6,
  HMM_B7,
  HMM_B8,
  HMM_F2,
  ODP2,
];

/** Rows of those sections that are not explored, with the reason. */
export const MM_NOT_SHOWN: readonly NotShown[] = [
  { id: 'HMM-B3', why: 'the same as H1' },
  {
    id: 'HMM-B4',
    why: 'a page-table lock is unlocked twice; steps of the model are atomic and have no page-table locks',
  },
  { id: 'HMM-B9', why: 'the same as P12' },
  { id: 'HMM-F1', why: 'the same as HMM-B1' },
  { id: 'HMM-F3', why: 'behaviour that the model shares, no bug' },
  {
    id: 'HMM-F4',
    why: 'one page too many is taken out of the mirror, which costs a fault and breaks nothing',
  },
  {
    id: 'HMM-F5',
    why: 'a weakness of the interface, no bug: success says nothing about how many pages moved',
  },
  { id: 'H3', why: 'a device without DMA maps; every device of the model has DMA' },
  {
    id: 'ODP1',
    why: 'an array is indexed in two units; needs entries larger than a page, which no trigger here uses',
  },
];
