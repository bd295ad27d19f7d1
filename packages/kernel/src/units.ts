/**
 * Sizes and address units.
 *
 * Addresses are JavaScript numbers, exact below 2^53: bytes at public edges, page-frame numbers inside. Page
 * numbers of a 57-bit address space need 45 bits, so bitwise operators may only be used on values known to fit
 * 32 bits or to take their low bits; `%` on large doubles costs about 16 ns and is never used.
 */
export const PAGE_SHIFT: 12 = 12;
export const PAGE_SIZE: 4096 = 4096;
export const PMD_SHIFT: 21 = 21;
export const PUD_SHIFT: 30 = 30;
/** log2 of the number of base pages of a huge page. */
export const PMD_ORDER: 9 = 9;
/** Base pages of a PMD-sized folio (HPAGE_PMD_NR). */
export const HPAGE_PMD_NR: 512 = 512;
/** Bytes of a PMD-sized folio (HPAGE_PMD_SIZE). */
export const HPAGE_PMD_SIZE: number = 2 ** PMD_SHIFT;

const TWO_30 = 2 ** 30;

/** A page-frame number: physical address divided by the page size. */
export type Pfn = number;

/** Byte offset inside a page. Exact for any address below 2^53, because only the low bits are taken. */
export function offsetInPage(bytes: number): number {
  return bytes & (PAGE_SIZE - 1);
}

/** Page number that contains a byte address. */
export function bytesToPage(bytes: number): number {
  return Math.floor(bytes / PAGE_SIZE);
}

/** Number of pages that cover a length in bytes, rounded up. */
export function bytesToPages(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}

/** Byte address of the first byte of a page. */
export function pageToBytes(page: number): number {
  return page * PAGE_SIZE;
}

/** `x` rounded down to a multiple of the power of two `size`. */
export function alignDown(x: number, size: number): number {
  return Math.floor(x / size) * size;
}

/** `x` rounded up to a multiple of the power of two `size`. */
export function alignUp(x: number, size: number): number {
  return Math.ceil(x / size) * size;
}

/** Whether `x` is a multiple of the power of two `size` (`size` at most 2^31). */
export function isAligned(x: number, size: number): boolean {
  return (x & (size - 1)) === 0;
}

/** floor(log2(n)) for 1 <= n < 2^31 (ilog2). */
export function ilog2(n: number): number {
  return 31 - Math.clz32(n);
}

/** Smallest power of two that is at least `n`, for 1 <= n <= 2^52 (roundup_pow_of_two). */
export function roundupPowOfTwo(n: number): number {
  if (n <= TWO_30) return n <= 1 ? 1 : 2 ** (32 - Math.clz32(n - 1));
  // In two halves, because Math.log2 rounds 2^49 + 1 to 49.
  return roundupPowOfTwo(Math.ceil(n / TWO_30)) * TWO_30;
}

/** Largest k such that `page` is a multiple of 2^k, at most `max` (max <= 31); page 0 gives `max`. */
export function alignmentOrder(page: number, max: number): number {
  const low = page | 0;
  if (low === 0) return max;
  const zeros = 31 - Math.clz32(low & -low);
  return zeros < max ? zeros : max;
}
