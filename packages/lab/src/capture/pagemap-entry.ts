import { endianness } from 'node:os';

/**
 * Bits of the high 32-bit word of a `/proc/PID/pagemap` entry
 * (Linux Documentation/admin-guide/mm/pagemap.rst; `PM_GUARD_REGION` since 6.15).
 */
export const PagemapHigh: Readonly<
  Record<
    'PFN' | 'SOFT_DIRTY' | 'EXCLUSIVE' | 'GUARD_REGION' | 'FILE_OR_SHMEM' | 'SWAPPED' | 'PRESENT',
    number
  >
> = {
  /** Bits 32 to 54 of the pfn. */
  PFN: 0x007f_ffff,
  SOFT_DIRTY: 2 ** 23,
  EXCLUSIVE: 2 ** 24,
  GUARD_REGION: 2 ** 26,
  FILE_OR_SHMEM: 2 ** 29,
  SWAPPED: 2 ** 30,
  PRESENT: 2 ** 31,
};

/** Index of the low and the high half of a native 64-bit word seen as two 32-bit words. */
export const WORD_LOW: 0 | 1 = endianness() === 'LE' ? 0 : 1;
/** See {@link WORD_LOW}. */
export const WORD_HIGH: 0 | 1 = WORD_LOW === 0 ? 1 : 0;

/**
 * @param high - high word of a pagemap entry
 * @returns whether a page is in memory
 */
export function isPresent(high: number): boolean {
  return (high & PagemapHigh.PRESENT) !== 0;
}

/**
 * @param high - high word of a pagemap entry
 * @returns whether a page is in swap; a guard region also shows the swap bit but holds nothing
 */
export function isSwapped(high: number): boolean {
  return (
    (high & (PagemapHigh.PRESENT | PagemapHigh.SWAPPED | PagemapHigh.GUARD_REGION)) === PagemapHigh.SWAPPED
  );
}
