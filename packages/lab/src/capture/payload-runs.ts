import type { ByteReader, ByteWriter, FailAt } from './byte-stream.ts';
import type { PageRuns } from './capture.ts';
import { CaptureLimit } from './capture-check.ts';
import { observedOrders } from './observed-runs.ts';

/**
 * Writes the columns of the runs: gaps, sizes, flags and, for a captured one, orders and pfns.
 *
 * @param writer - where to
 * @param runs - sorted and disjoint
 * @param physical - `modelled` leaves out orders and pfns
 */
export function writeRuns(writer: ByteWriter, runs: PageRuns, physical: 'captured' | 'modelled'): void {
  const { startPage, pageCount, pfn, order, flags } = runs;
  let previousEnd = 0;
  for (const [i, start] of startPage.entries()) {
    writer.varint(start - previousEnd);
    previousEnd = start + (pageCount[i] ?? 0);
  }
  for (const count of pageCount) writer.varint(count);
  writer.raw(flags);
  if (physical === 'modelled') return;
  writer.raw(order);
  let expected = 0;
  for (const [i, first] of pfn.entries()) {
    writer.zigzag(first - expected);
    expected = first + (pageCount[i] ?? 0);
  }
}

/**
 * Reads what {@link writeRuns} wrote.
 *
 * @param reader - where from
 * @param count - runs, bounded by the caller
 * @param physical - `modelled` gives pfns of 0 and the orders that the flags imply
 * @param fail - throws
 * @returns the runs, whose relations are still to be checked
 */
export function readRuns(
  reader: ByteReader,
  count: number,
  physical: 'captured' | 'modelled',
  fail: FailAt,
): PageRuns {
  const startPage = new Float64Array(count);
  const pageCount = new Uint32Array(count);
  const pfn = new Float64Array(count);
  for (let i = 0; i < count; i++) startPage[i] = reader.varint(CaptureLimit.VIRTUAL_PAGES);
  let page = 0;
  for (let i = 0; i < count; i++) {
    const pages = reader.varint(2 ** 32);
    const start = page + (startPage[i] ?? 0);
    // Also keeps the sum exact: the next gap is below 2^52.
    if (start + pages > CaptureLimit.VIRTUAL_PAGES) fail('a run leaves the address space', reader.offset);
    startPage[i] = start;
    pageCount[i] = pages;
    page = start + pages;
  }
  // Copied, so that the runs do not keep the whole payload alive.
  const flags = new Uint8Array(reader.raw(count));
  if (physical === 'modelled') return { startPage, pageCount, pfn, order: observedOrders(flags), flags };
  const order = new Uint8Array(reader.raw(count));
  let expected = 0;
  for (let i = 0; i < count; i++) {
    const first = expected + reader.zigzag(CaptureLimit.PFNS * 2);
    pfn[i] = first;
    expected = first + (pageCount[i] ?? 0);
    if (first < 0 || expected > CaptureLimit.PFNS) fail('a pfn is out of range', reader.offset);
  }
  return { startPage, pageCount, pfn, order, flags };
}
