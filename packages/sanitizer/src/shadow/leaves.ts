/** A run of pages. */
export interface PageRun {
  readonly firstPage: number;
  readonly pages: number;
}

const NOTHING: PageRun = Object.freeze({ firstPage: 0, pages: 0 });

/**
 * The leaf that covers a page of one link, found from the link alone: position by position the biggest leaf size
 * that fits address, frame and the rest of the link (pt_compute_best_pgsize of generic_pt; specification 1.1).
 *
 * @param orders - leaf sizes of the format, log2 of pages, ascending.
 * @returns length 0 when the link does not cover the page.
 */
export function leafAt(
  firstPage: number,
  pfn: number,
  pages: number,
  orders: readonly number[],
  page: number,
): PageRun {
  const end = firstPage + pages;
  for (let at = firstPage, frame = pfn; at <= page && at < end; ) {
    const size = biggest(at, frame, end - at, orders);
    if (page < at + size) return { firstPage: at, pages: size };
    at += size;
    frame += size;
  }
  return NOTHING;
}

function biggest(at: number, frame: number, rest: number, orders: readonly number[]): number {
  for (let i = orders.length - 1; i > 0; i--) {
    const size = 2 ** orders[i]!;
    if (size <= rest && at % size === 0 && frame % size === 0) return size;
  }
  return 2 ** (orders[0] ?? 0);
}
