import {
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  DmaIovaState,
  dmaIovaUnlink,
} from '@gpusvm/dma-iova';
import { type DriverBug, endOf, translated } from './driver-bug.ts';
import { link, ready, reserve } from './reserved.ts';

const P = 4096;

/** What drivers get wrong about the state of a reservation. */
export const STATE_BUGS: readonly DriverBug[] = [
  {
    what: 'a reservation is destroyed twice',
    reports: ['I11'],
    says: 'a destroy on a state that is not a live reservation',
    where: translated,
    bad(r) {
      const s = ready(r, 4);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
    good(r) {
      dmaIovaDestroy(r.dev, ready(r, 4), 4 * P, 0, 0);
    },
  },
  {
    what: 'an empty reservation is destroyed after it was destroyed',
    reports: ['I11'],
    says: 'a destroy on a state that is not a live reservation',
    where: translated,
    bad(r) {
      const s = ready(r, 4);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
      dmaIovaDestroy(r.dev, s, 0, 0, 0);
    },
    good(r) {
      dmaIovaDestroy(r.dev, reserve(r, 4), 0, 0, 0);
    },
  },
  {
    what: 'a reservation with holes is destroyed twice',
    reports: ['I11'],
    says: 'a destroy on a state that is not a live reservation',
    where: translated,
    bad(r) {
      const s = reserve(r, 4);
      link(r, s, 2);
      dmaIovaDestroyHoles(r.dev, s, 0, 0);
      dmaIovaDestroyHoles(r.dev, s, 0, 0);
    },
    good(r) {
      const s = reserve(r, 4);
      link(r, s, 2);
      dmaIovaDestroyHoles(r.dev, s, 0, 0);
    },
  },
  {
    what: 'a state is cleared before its destroy',
    reports: ['I26', 'I27'],
    says: 'a destroy of a state that dma_iova_try_alloc did not fill',
    where: translated,
    bad(r) {
      const s = ready(r, 4);
      s.addr = 0;
      s.size = 0;
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
      endOf(r);
    },
    good(r) {
      const s = ready(r, 4);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
      s.addr = 0;
      s.size = 0;
    },
  },
  {
    what: 'a copy of a state is destroyed after the state',
    reports: ['I11'],
    says: 'a destroy on a state that is not a live reservation',
    where: translated,
    bad(r) {
      const s = ready(r, 4);
      const copy = Object.assign(new DmaIovaState(), s);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
      dmaIovaDestroy(r.dev, copy, 4 * P, 0, 0);
    },
    good(r) {
      dmaIovaDestroy(r.dev, ready(r, 4), 4 * P, 0, 0);
    },
  },
  {
    what: 'the size of a state is cut to half of it before the free',
    reports: ['I9'],
    says: 'a reservation of 8 pages is freed as 4',
    where: translated,
    bad(r) {
      const s = ready(r, 8);
      dmaIovaUnlink(r.dev, s, 0, 8 * P, 0, 0);
      s.size = 4 * P;
      dmaIovaFree(r.dev, s);
    },
    good(r) {
      const s = ready(r, 8);
      dmaIovaUnlink(r.dev, s, 0, 8 * P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a mapping of its own is destroyed as if it were a reservation',
    reports: ['I11'],
    says: 'a destroy on a state that is not a live reservation',
    where: translated,
    bad(r) {
      const forged = Object.assign(new DmaIovaState(), { addr: 0x100000, size: P });
      dmaIovaDestroy(r.dev, forged, P, 0, 0);
    },
    good(r) {
      dmaIovaDestroy(r.dev, ready(r, 1), P, 0, 0);
    },
  },
];
