import { HPAGE_PMD_NR } from '@gpusvm/kernel';
import type { Capture } from '../capture/capture.ts';
import { type Counts, dmaTimeNs } from '../cost-model/dma-time.ts';
import { faultTimeNs } from '../cost-model/fault-time.ts';
import type { Participants } from './participants.ts';
import type { Placement } from './placement.ts';
import type { ModelledTime, StrategyResult } from './result.ts';
import { simulate, type SimulationOptions } from './simulation.ts';
import { cpuPass, DataChecker, gpuPass, tearDown } from './workload.ts';

/** Kinds of the ledger that are translations a device could still use. */
const TRANSLATIONS = 'io page table leaf';

/**
 * One scheme on one memory: fault everything in from the GPU, bring it back, tear it down; count, verify, and see
 * what is left.
 */
export function runStrategy(
  capture: Capture,
  taking: Participants,
  placement: Placement,
  options: SimulationOptions,
): StrategyResult {
  const simulation = simulate(capture, taking, placement, options);
  const { machine, device, exposure } = simulation;
  const checker = new DataChecker();
  machine.counters.reset();
  machine.run(gpuPass(simulation, checker), 'GPU');
  const faultIn = counts(machine.counters.snapshot());
  machine.run(cpuPass(simulation, checker), 'CPU');
  machine.run(tearDown(simulation), 'tear down');
  // Empty tables that the domain keeps linked are no leak while the device lives: it goes first.
  device.destroy();
  const mappedBytes = simulation.close();
  const left = machine.ledger.live();
  const all = counts(machine.counters.snapshot());
  return {
    strategy: options.strategy,
    gpuFaults: all('xe.svm_pagefault_count'),
    pagesFaultedIn: faultIn('gpusvm.pagesMapped'),
    dmaMappedPages: exposure.askedPages,
    linkCalls: all('dma.callLink'),
    mapPageCalls: all('dma.callMap'),
    walks: all('dma.walk'),
    pteWrites: all('dma.pteW'),
    tablesAllocated: all('dma.tblAlloc'),
    tablesFreed: all('dma.tblFree'),
    tablesPinned: all('dma.tblPinnedMax'),
    iotlbInvalidations: all('dma.iotlbInv'),
    iovaOperations: all('dma.iovaAlloc') + all('dma.iovaFree'),
    bouncedPages: all('dma.swiotlb'),
    time: perTwoMiB(faultIn),
    warnings: all('machine.warn'),
    leakedEntries:
      mappedBytes / 4096 +
      left.filter((item) => item.kind === TRANSLATIONS).reduce((sum, item) => sum + item.count, 0),
    left,
    exposedPages: device.domain === null ? null : exposure.extraPagesMax,
    data: checker.result(),
  };
}

function counts(snapshot: Map<string, number>): Counts {
  return (name) => {
    const value = snapshot.get(name);
    if (value === undefined) throw new RangeError(`no layer counts ${name}`);
    return value;
  };
}

function perTwoMiB(faultIn: Counts): ModelledTime {
  const units = faultIn('gpusvm.pagesMapped') / HPAGE_PMD_NR;
  if (units === 0) return { dmaUs: 0, faultUs: 0 };
  return { dmaUs: round(dmaTimeNs(faultIn) / units), faultUs: round(faultTimeNs(faultIn) / units) };
}

/** Microseconds with three digits, so that equal runs print equal bytes. */
function round(ns: number): number {
  return Math.round(ns) / 1000;
}
