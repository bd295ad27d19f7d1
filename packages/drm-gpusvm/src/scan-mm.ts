import {
  type DevPagemap,
  type FolioTable,
  HMM_PFN_VALID,
  type HmmPfns,
  type Mm,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
} from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import type { DrmGpusvm } from './gpusvm.ts';
import { chargeRetry, faultUnlocked, HMM_RANGE_DEFAULT_TIMEOUT_NS } from './hmm-fault.ts';
import { hmmPfnToOrder } from './hmm-order.ts';
import type { DrmGpusvmRange } from './range.ts';
import { SNAPSHOT_TAKEN } from './sched-points.ts';
import type { PfnScratch } from './scratch.ts';

/** Where the pages of a range are (enum drm_gpusvm_scan_result). */
export const DrmGpusvmScanResult = {
  /** Some page is not there, or nobody knows. */
  unpopulated: 'unpopulated',
  /** All pages are in the given pagemap (null: all in system memory). */
  equal: 'equal',
  /** All pages are in exactly one other pagemap. */
  other: 'other',
  /** All pages are system memory. */
  system: 'system',
  /** Device pages of at least two pagemaps. */
  mixedDevice: 'mixedDevice',
  /** System and device pages. */
  mixed: 'mixed',
} as const;

/** Where the pages of a range are. */
export type DrmGpusvmScanResult = (typeof DrmGpusvmScanResult)[keyof typeof DrmGpusvmScanResult];

const { unpopulated, equal, other, system, mixedDevice, mixed } = DrmGpusvmScanResult;

/**
 * @internal One step of the scan: what is known after a further page.
 *
 * @param state - of the pages so far, null at the first one.
 * @param page - class of the page.
 */
export function scanStep(state: DrmGpusvmScanResult | null, page: DrmGpusvmScanResult): DrmGpusvmScanResult {
  if (state === null || state === page || state === mixed) return state ?? page;
  return state === system || page === system ? mixed : mixedDevice;
}

/**
 * Where the pages of a range are now (drm_gpusvm_scan_mm). Advice only: nothing is faulted in and nothing keeps the
 * answer true. Any error counts as unpopulated. Sleeps; no lock of the notifier or the mm held.
 *
 * @param owner - whose device-private pages count as populated.
 * @param devPagemap - the pagemap asked about; null asks about system memory.
 */
export function* drmGpusvmScanMm(
  range: DrmGpusvmRange,
  owner: object | null,
  devPagemap: DevPagemap | null,
): Task<DrmGpusvmScanResult> {
  const { gpusvm } = range;
  const mm = gpusvm.requireMm();
  // The kernel takes no reference here and leaves it to its callers; whoever touches an mm is its user (INV-40).
  if (!mm.mmgetNotZero()) return unpopulated;
  const scratch = gpusvm.pfnPool.take(range.notifier, range.startPage, range.endPage, owner);
  let result: DrmGpusvmScanResult = unpopulated;
  if (scratch !== null) {
    result = yield* scan(gpusvm, mm, scratch, devPagemap);
    gpusvm.pfnPool.give(scratch);
  }
  mm.mmput();
  return result;
}

/** Snapshot and look at it, again while it was stale; one second in all, where the kernel starts a new one each time. */
function* scan(
  gpusvm: DrmGpusvm,
  mm: Mm,
  scratch: PfnScratch,
  devPagemap: DevPagemap | null,
): Task<DrmGpusvmScanResult> {
  const { machine, notifierLock } = gpusvm;
  const { notifier, pfns } = scratch;
  const deadlineNs = machine.clock.nowNs + HMM_RANGE_DEFAULT_TIMEOUT_NS;
  while (machine.clock.nowNs <= deadlineNs) {
    scratch.notifierSeq = yield* mmuIntervalReadBegin(notifier);
    const err = yield* faultUnlocked(machine, mm, scratch, deadlineNs);
    // The notifier lock is not held yet, so there is nothing to release (bug G6).
    if (err !== 0) return unpopulated;
    if (machine.scheduler.preemptive) yield SNAPSHOT_TAKEN;
    if (!notifierLock.tryDownRead()) yield* notifierLock.downRead();
    const stale = mmuIntervalReadRetry(notifier, scratch.notifierSeq);
    const result = stale
      ? unpopulated
      : classify(mm.folios, pfns, scratch.endPage - scratch.startPage, devPagemap);
    notifierLock.upRead();
    if (!stale) return result;
    chargeRetry(machine);
  }
  return unpopulated;
}

/** @internal What a snapshot says. */
export function classify(
  folios: FolioTable,
  pfns: HmmPfns,
  npages: number,
  devPagemap: DevPagemap | null,
): DrmGpusvmScanResult {
  let state: DrmGpusvmScanResult | null = null;
  let foreign: DevPagemap | null = null;
  for (let i = 0; i < npages; i += 1 << hmmPfnToOrder(pfns, i, npages)) {
    if ((pfns.flags[i]! & HMM_PFN_VALID) === 0) return unpopulated;
    const pagemap = folios.pagemapOf(pfns.pfn[i]!);
    let page: DrmGpusvmScanResult = system;
    if (pagemap === devPagemap) {
      page = equal;
    } else if (pagemap !== null) {
      foreign ??= pagemap;
      page = pagemap === foreign ? other : mixedDevice;
    }
    state = scanStep(state, page);
  }
  return state ?? unpopulated;
}
