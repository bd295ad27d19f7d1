/** Pages of a region: 2 MiB of 4 KiB pages. */
export const REGION_PAGES: 512 = 512;

/** Number of the region that a page lies in. Almost every page number fits 31 bits, where a shift does. */
export function regionOf(page: number): number {
  return page < 2147483648 ? (page | 0) >> 9 : Math.floor(page / REGION_PAGES);
}
