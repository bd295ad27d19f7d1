import type { CounterGroup, Machine } from '@gpusvm/kernel';

const NAMES = [
  'rangeFault',
  'pagesFaulted',
  'cpuFault',
  'cpuFaultDevice',
  'cpuFaultThp',
  'migrateCollected',
  'migrateMoved',
  'notifierStart',
  'notifierCallback',
  'retry',
  'swapOut',
  'swapIn',
  'collapse',
  'exclusiveRevoke',
  'unshare',
] as const;

/** Names of the counter group `hmm`. */
export type HmmCounterName = (typeof NAMES)[number];

/** Calls of `hmmRangeFault`. */
export const RANGE_FAULT = 0;
/** Pages that a device fault brought into the CPU page table. */
export const PAGES_FAULTED = 1;
/** Faults of a simulated CPU access. */
export const CPU_FAULT = 2;
/** CPU faults on device-private entries that called `migrateToRam`. */
export const CPU_FAULT_DEVICE = 3;
/** Faults answered with a PMD-sized folio or the huge zero page. */
export const CPU_FAULT_THP = 4;
/** 4K pages (holes included) that `migrate_vma_setup` and `migrate_device_pfns` collected. */
export const MIGRATE_COLLECTED = 5;
/** 4K pages whose migration was committed. */
export const MIGRATE_MOVED = 6;
/** Invalidations begun on an mm that has interval notifiers. */
export const NOTIFIER_START = 7;
/** Calls of `invalidate`. */
export const NOTIFIER_CALLBACK = 8;
/** -EBUSY results of `hmmRangeFault`. */
export const RETRY = 9;

/** Pages written to swap and freed. */
export const SWAP_OUT = 10;
/** Pages read from swap. */
export const SWAP_IN = 11;
/** PMD-sized folios made of single pages by MADV_COLLAPSE or khugepaged. */
export const COLLAPSE = 12;
/** Device-exclusive entries that a CPU fault made present again. */
export const EXCLUSIVE_REVOKE = 13;
/** Shared pages copied for a pin that only reads. */
export const UNSHARE = 14;

/** The machine's counter group `hmm`; indexes are the constants of this module. */
export function hmmCounters(machine: Machine): CounterGroup<HmmCounterName> {
  return machine.counters.group('hmm', NAMES);
}
