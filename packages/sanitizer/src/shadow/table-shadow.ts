import { AddressMap } from './address-map.ts';
import { REGION_PAGES, regionOf } from './region.ts';

/**
 * Which regions of 2 MiB have a lowest-level table, derived from what was mapped, and which of these tables an
 * unmap has taken out of the tree without an invalidation of the page-walk caches so far.
 */
export class TableShadow {
  readonly #tables = new AddressMap();
  /** Regions whose table was taken out. */
  readonly #unlinked: number[] = [];
  /** Where the newest unmap's begin in {@link #unlinked}. */
  #newest = 0;
  #lastRegion = -1;

  /** Tables that wait. */
  get waiting(): number {
    return this.#unlinked.length;
  }

  /** A range was mapped: regions that a leaf does not cover whole have a table. */
  map(firstPage: number, pages: number, pfn: number): void {
    if (pages === 1 && regionOf(firstPage) === this.#lastRegion) return;
    const end = firstPage + pages;
    for (let page = firstPage; page < end; ) {
      const region = regionOf(page);
      const stop = Math.min(end, (region + 1) * REGION_PAGES);
      const aligned = (pfn + (page - firstPage)) % REGION_PAGES === 0;
      if (stop - page === REGION_PAGES && aligned) {
        this.#tables.delete(region);
        this.#lastRegion = -1;
      } else if (region !== this.#lastRegion) {
        this.#tables.set(region, 1);
        this.#lastRegion = region;
      }
      page = stop;
    }
  }

  /** A range was cleared in one call: tables inside it go out of the tree. */
  unmap(firstPage: number, pages: number): void {
    this.#newest = this.#unlinked.length;
    if (pages < REGION_PAGES) return;
    const end = Math.floor((firstPage + pages) / REGION_PAGES);
    for (let region = Math.ceil(firstPage / REGION_PAGES); region < end; region++) {
      if (this.#tables.get(region) === 0) continue;
      this.#tables.delete(region);
      this.#unlinked.push(region);
    }
    this.#lastRegion = -1;
  }

  /**
   * A range was invalidated, upper levels included or not.
   *
   * @param lazy - older tables may wait for a flush; only those of the newest unmap must have been meant.
   * @returns first page of a region whose table was taken out and whose upper-level entry stays cached; -1 = none.
   */
  invalidate(firstPage: number, endPage: number, leafOnly: boolean, lazy: boolean): number {
    let kept = -1;
    for (let i = this.#unlinked.length - 1; i >= 0; i--) {
      const page = this.#unlinked[i]! * REGION_PAGES;
      if (page + REGION_PAGES <= firstPage || page >= endPage) continue;
      if (leafOnly) {
        if (lazy && i < this.#newest) continue;
        kept = page;
      }
      this.#unlinked.splice(i, 1);
    }
    return kept;
  }

  /** Everything was invalidated. */
  clear(): void {
    this.#unlinked.length = 0;
  }
}
