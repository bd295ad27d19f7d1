import {
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaUnlink,
  dmaUnmapPhys,
} from '@gpusvm/dma-iova';
import { EINVAL } from '@gpusvm/kernel';
import type { RuleId } from '../../src/index.ts';
import { domainOf, patch } from '../mutants/patch.ts';
import type { Rig } from '../rig.ts';
import { type DriverBug, type Setting, translated } from './driver-bug.ts';
import { link, ready, reserve } from './reserved.ts';

const P = 4096;

/** A link that finds no table. */
function failLink(r: Rig, s: DmaIovaState, offset: number): number {
  r.machine.faultInjection.failNth('iommu.alloc_table', 1);
  return dmaIovaLink(r.dev, s, r.memory.allocPages(0) * P, offset, P, 0, 0);
}

/** A page table that stops at a hole makes the unmap short as well. */
function withShort(...rules: RuleId[]) {
  return ({ device }: Setting): RuleId[] =>
    device.ioPageTable?.endsWith('-legacy') === true ? rules : [...rules, 'I29'];
}

/** What drivers of the two-step API get wrong, as nvme, hmm and drm_pagemap drive it. */
export const IOVA_BUGS: readonly DriverBug[] = [
  {
    what: 'a device goes on after its unlink, whose invalidation was lost',
    reports: ['I13'],
    says: 'a device uses a translation to frame 7 that was unmapped',
    where: translated,
    bad(r) {
      const s = reserve(r, 4);
      const pfn = link(r, s, 4);
      dmaIovaSync(r.dev, s, 0, 4 * P);
      r.dev.writeTag(s.addr, 1);
      patch(domainOf(r.dev), 'sync', () => () => {});
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
      r.dev.writeTag(s.addr, pfn);
    },
    good(r) {
      const s = ready(r, 4);
      r.dev.writeTag(s.addr, 1);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
  },
  {
    what: 'a destroy in full length after an unlink of the first half',
    reports: withShort('I6', 'I8'),
    says: 'an unlink of 4 pages meets 2 that are not linked',
    where: translated,
    bad(r) {
      const s = ready(r, 4);
      dmaIovaUnlink(r.dev, s, 0, 2 * P, 0, 0);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
    good(r) {
      const s = ready(r, 4);
      dmaIovaUnlink(r.dev, s, 0, 2 * P, 0, 0);
      dmaIovaUnlink(r.dev, s, 2 * P, 2 * P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'the number of an entry is taken for an offset in bytes by the sync',
    reports: ['I30'],
    says: 'a slot that the sync of its reservation did not cover',
    where: translated,
    bad(r) {
      const s = reserve(r, 4);
      link(r, s, 4);
      for (let i = 0; i < 4; i++) dmaIovaSync(r.dev, s, i, P);
      r.dev.readTag(s.addr + 3 * P);
    },
    good(r) {
      const s = reserve(r, 4);
      link(r, s, 4);
      for (let i = 0; i < 4; i++) dmaIovaSync(r.dev, s, i * P, P);
      r.dev.readTag(s.addr + 3 * P);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
  },
  {
    what: 'the third link fails and the first two are forgotten',
    reports: ['I10'],
    says: 'a reservation is freed with 2 linked pages',
    where: translated,
    bad(r) {
      const s = reserve(r, 1024);
      link(r, s, 2);
      if (failLink(r, s, 512 * P) !== 0) dmaIovaFree(r.dev, s);
    },
    good(r) {
      const s = reserve(r, 1024);
      link(r, s, 2);
      if (failLink(r, s, 512 * P) !== 0) dmaIovaUnlink(r.dev, s, 0, 2 * P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a request is destroyed in full although one of its links failed',
    reports: (at) => [
      ...withShort('I26', 'I6', 'I8')(at).filter((rule) => rule !== 'I29'),
      // The walk of the legacy AMD format stops at a table that is missing.
      ...(at.device.ioPageTable === 'vtd-legacy' ? [] : (['I29'] as const)),
    ],
    says: 'an unlink covers a range whose link had failed',
    where: (at) => translated(at) && at.profile === 'linux-7.3',
    bad(r) {
      const s = reserve(r, 513);
      link(r, s, 1);
      failLink(r, s, 512 * P);
      dmaIovaDestroy(r.dev, s, 513 * P, 0, 0);
    },
    good(r) {
      const s = reserve(r, 513);
      link(r, s, 1);
      failLink(r, s, 512 * P);
      dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a link is undone with dma_unmap_phys',
    reports: ['I17'],
    says: 'which is a link of a reservation',
    where: translated,
    bad(r) {
      dmaUnmapPhys(r.dev, ready(r, 2).addr, 2 * P, 0, 0);
    },
    good(r) {
      dmaIovaDestroy(r.dev, ready(r, 2), 2 * P, 0, 0);
    },
  },
  {
    what: 'holes are filled by one long link that begins at a dummy page',
    reports: ['I16'],
    says: 'page 1 of a mapping of 3 is frame 2, which is free',
    where: (at) => translated(at) && at.device.coherent !== false,
    bad(r) {
      const s = reserve(r, 4);
      const dummy = r.memory.allocPages(0);
      dmaIovaLink(r.dev, s, dummy * P, 0, P, 0, 0);
      dmaIovaLink(r.dev, s, dummy * P, P, 3 * P, 0, 0);
    },
    good(r) {
      const s = reserve(r, 4);
      const dummy = r.memory.allocPages(0);
      for (let i = 0; i < 4; i++) dmaIovaLink(r.dev, s, dummy * P, i * P, P, 0, 0);
      dmaIovaSync(r.dev, s, 0, 4 * P);
      dmaIovaDestroy(r.dev, s, 4 * P, 0, 0);
    },
  },
  {
    what: 'a link is too long for its reservation and its buffer',
    reports: ['I1'],
    says: 'a link of 8193 bytes reaches beyond its end',
    where: translated,
    bad(r) {
      dmaIovaLink(r.dev, reserve(r, 2), r.memory.allocPages(1) * P, 0, 2 * P + 1, 0, 0);
    },
    good(r) {
      const s = reserve(r, 2);
      dmaIovaLink(r.dev, s, r.memory.allocPages(1) * P, 0, 2 * P, 0, 0);
      dmaIovaSync(r.dev, s, 0, 2 * P);
      dmaIovaDestroy(r.dev, s, 2 * P, 0, 0);
    },
  },
  {
    what: 'later offsets of an unaligned reservation are whole pages',
    reports: ['I3', 'I1'],
    says: 'link at offset 0x1000 does not start on a page',
    where: translated,
    bad(r) {
      const s = reserve(r, 2, 0x234);
      const pfn = r.memory.allocPages(1);
      dmaIovaLink(r.dev, s, pfn * P + 0x234, 0, P - 0x234, 0, 0);
      dmaIovaLink(r.dev, s, (pfn + 1) * P, P, P, 0, 0);
    },
    good(r) {
      const s = reserve(r, 2, 0x234);
      const pfn = r.memory.allocPages(1);
      dmaIovaLink(r.dev, s, pfn * P + 0x234, 0, P - 0x234, 0, 0);
      dmaIovaLink(r.dev, s, (pfn + 1) * P, P - 0x234, P, 0, 0);
      dmaIovaSync(r.dev, s, 0, 2 * P - 0x234);
      dmaIovaDestroy(r.dev, s, 2 * P - 0x234, 0, 0);
    },
  },
  {
    what: 'the error of a sync is not looked at',
    reports: ['I5'],
    says: 'device read of a slot that was never synced since its link',
    where: translated,
    bad(r) {
      patch(domainOf(r.dev), 'syncMap', () => () => -EINVAL);
      r.dev.readTag(ready(r, 1).addr);
    },
    good(r) {
      const s = ready(r, 1);
      r.dev.readTag(s.addr);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
    },
  },
  {
    what: 'a sync returns success and the IOMMU goes on to remember that nothing is there',
    reports: ['I5', 'I5'],
    says: 'device read of a slot that is not linked',
    where: ({ device }) => device.cachingMode === true,
    bad(r) {
      patch(domainOf(r.dev), 'syncMap', () => () => 0);
      const s = reserve(r, 1);
      r.dev.readTag(s.addr);
      link(r, s, 1);
      dmaIovaSync(r.dev, s, 0, P);
      r.dev.readTag(s.addr);
    },
    good(r) {
      const s = ready(r, 1);
      r.dev.readTag(s.addr);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
    },
  },
];
