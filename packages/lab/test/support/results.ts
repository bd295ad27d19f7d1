import type { StrategyResult } from '../../src/compare/result.ts';

/** A result of a scheme that did nothing wrong. */
export function result(more: Partial<StrategyResult>): StrategyResult {
  return {
    strategy: 'iova-packed',
    gpuFaults: 1,
    pagesFaultedIn: 512,
    dmaMappedPages: 512,
    linkCalls: 512,
    mapPageCalls: 0,
    walks: 513,
    pteWrites: 1026,
    tablesAllocated: 1,
    tablesFreed: 1,
    tablesPinned: 0,
    iotlbInvalidations: 1,
    iovaOperations: 2,
    bouncedPages: 0,
    time: { dmaUs: 70, faultUs: 1100 },
    warnings: 0,
    leakedEntries: 0,
    left: [],
    exposedPages: 0,
    data: { pagesChecked: 1024, mismatches: 0, firstMismatch: null },
    ...more,
  };
}
