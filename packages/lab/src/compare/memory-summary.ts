import type { Capture } from '../capture/capture.ts';
import { captureTotals } from '../capture/capture-totals.ts';
import type { MemorySummary } from './result.ts';

/** A capture in numbers. Pages that the comparison leaves out are added by it. */
export function summarize(name: string, capture: Capture): MemorySummary {
  const totals = captureTotals(capture);
  return {
    name,
    physical: capture.physical,
    pages: totals.pages,
    vmas: totals.vmas,
    runs: totals.runs,
    holes: totals.holes,
    orders: totals.orders,
    skipped: [],
  };
}
