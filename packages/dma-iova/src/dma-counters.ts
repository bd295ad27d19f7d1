import type { CounterGroup, Machine } from '@gpusvm/kernel';

const NAMES = [
  'walk',
  'lvlTouch',
  'pteW',
  'tblAlloc',
  'tblFree',
  'tblPinned',
  'tblPinnedMax',
  'iotlbInv',
  'iotlbDesc',
  'fqEnt',
  'fqFlushAll',
  'rcHit',
  'rcDepot',
  'rbAlloc',
  'rbStep',
  'rbFree',
  'iovaAlloc',
  'iovaFree',
  'swiotlb',
  'cpuSync',
  'callLink',
  'callSync',
  'callUnlink',
  'callMap',
  'callUnmap',
  'dmaFault',
] as const;

/** Name of a counter of group `dma`. */
export type DmaCounterName = (typeof NAMES)[number];

/** Descents from the root of an IO page table. */
export const C_WALK: 0 = 0;
/** Page-table pages visited in descents. */
export const C_LVL_TOUCH: 1 = 1;
/** Entries written: leaves and table items. */
export const C_PTE_W: 2 = 2;
export const C_TBL_ALLOC: 3 = 3;
/** Tables that reached the allocator again, after their invalidation. */
export const C_TBL_FREE: 4 = 4;
/** Gauge: tables that are linked but map nothing. */
export const C_TBL_PINNED: 5 = 5;
export const C_TBL_PINNED_MAX: 6 = 6;
/** Invalidations submitted and waited for. */
export const C_IOTLB_INV: 7 = 7;
export const C_IOTLB_DESC: 8 = 8;
export const C_FQ_ENT: 9 = 9;
export const C_FQ_FLUSH_ALL: 10 = 10;
export const C_RC_HIT: 11 = 11;
/** Magazines moved to or from the depot. */
export const C_RC_DEPOT: 12 = 12;
export const C_RB_ALLOC: 13 = 13;
/** Nodes looked at by backward scans for a gap. */
export const C_RB_STEP: 14 = 14;
export const C_RB_FREE: 15 = 15;
export const C_IOVA_ALLOC: 16 = 16;
export const C_IOVA_FREE: 17 = 17;
/** Bounce slots taken (one a mapping). */
export const C_SWIOTLB: 18 = 18;
/** Pages of CPU cache maintenance for devices that do not snoop. */
export const C_CPU_SYNC: 19 = 19;
export const C_CALL_LINK: 20 = 20;
export const C_CALL_SYNC: 21 = 21;
export const C_CALL_UNLINK: 22 = 22;
export const C_CALL_MAP: 23 = 23;
export const C_CALL_UNMAP: 24 = 24;
export const C_DMA_FAULT: 25 = 25;

/** The counter group `dma` of a machine; all its devices share it (specification section 3.1). */
export function dmaCounters(machine: Machine): CounterGroup<DmaCounterName> {
  return machine.counters.group('dma', NAMES);
}
