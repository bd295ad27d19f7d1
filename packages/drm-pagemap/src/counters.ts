import type { CounterGroup, Machine } from '@gpusvm/kernel';

const NAMES = [
  'migrateToDevmem',
  'migrateToRam',
  'evictToRam',
  'pagesToDevmem',
  'pagesToRam',
  'ebusy',
  'fallbackOrder0',
] as const;

/** Counters of group `pagemap`. */
export type PagemapCounterName = (typeof NAMES)[number];

/** @internal Indices into the group's values. */
export const C_TO_DEVMEM = 0;
export const C_TO_RAM = 1;
export const C_EVICT = 2;
export const C_PAGES_TO_DEVMEM = 3;
export const C_PAGES_TO_RAM = 4;
export const C_EBUSY = 5;
export const C_FALLBACK_ORDER0 = 6;

/**
 * The machine's counter group `pagemap`: calls of the three migrations, 4K pages committed in each direction,
 * migrations to device memory that ended in -EBUSY, and large folios replaced by single pages on the way to RAM.
 */
export function pagemapCounters(machine: Machine): CounterGroup<PagemapCounterName> {
  return machine.counters.group('pagemap', NAMES);
}
