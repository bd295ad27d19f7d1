import type { Errno } from '@gpusvm/kernel';
import type { SimPages } from './sim-pages.ts';

/** One mapping (struct iopt_area): never split, unmapped as a whole. */
export interface SimArea {
  readonly iova: bigint;
  readonly last: bigint;
  readonly pages: SimPages;
  /** First byte inside of `pages`. */
  readonly startByte: bigint;
  readonly writable: boolean;
  readonly readable: boolean;
  /** In-kernel users that have it pinned and are asked to let go before an unmap. */
  accesses: number;
  /** Hardware queues that lie in it: it cannot be unmapped. */
  locks: number;
}

/** A slice of pages that an area is made of, before it has an address. */
export interface SimSlice {
  readonly pages: SimPages;
  readonly startByte: bigint;
  readonly length: bigint;
}

function pageRange(area: SimArea): readonly [number, number] {
  const bytes = area.last - area.iova;
  return [Number(area.startByte / 4096n), Number((area.startByte + bytes) / 4096n) + 1];
}

/** Pin everything an area covers once more. */
export function pinArea(area: SimArea): Errno {
  return area.pages.pin(...pageRange(area));
}

/** Undo {@link pinArea}. */
export function unpinArea(area: SimArea): void {
  area.pages.unpin(...pageRange(area));
}
