import type { CounterGroup, Machine } from '@gpusvm/kernel';

const NAMES = [
  'findOrInsert',
  'rangeCreated',
  'rangeRemoved',
  'getPages',
  'getPagesFast',
  'getPagesRetry',
  'pagesMapped',
  'unmapPages',
  'invalidate',
] as const;

/** Names of the counter group `gpusvm`. */
export type GpusvmCounterName = (typeof NAMES)[number];

/** Calls of `drmGpusvmRangeFindOrInsert`. */
export const FIND_OR_INSERT = 0;
/** Ranges put into a notifier. */
export const RANGE_CREATED = 1;
/** Ranges taken out of their notifier. */
export const RANGE_REMOVED = 2;
/** Calls of `drmGpusvmGetPages`. */
export const GET_PAGES = 3;
/** Calls that found their pages mapped already. */
export const GET_PAGES_FAST = 4;
/** Rounds that had to start over: stale sequence number or a race with a migration. */
export const GET_PAGES_RETRY = 5;
/** 4K pages mapped for a device. */
export const PAGES_MAPPED = 6;
/** Pages objects whose mapping was taken away. */
export const UNMAP_PAGES = 7;
/** Invalidations passed on to the driver. */
export const INVALIDATE = 8;

/** The machine's counter group `gpusvm`; indexes are the constants of this module. */
export function gpusvmCounters(machine: Machine): CounterGroup<GpusvmCounterName> {
  return machine.counters.group('gpusvm', NAMES);
}
