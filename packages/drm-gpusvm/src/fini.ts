import { mmuIntervalNotifierRemove } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import type { DrmGpusvm } from './gpusvm.ts';
import type { DrmGpusvmNotifier } from './notifier.ts';
import { type DrmGpusvmRange, drmGpusvmRangeRemove } from './range.ts';

/**
 * Stop mirroring (drm_gpusvm_fini). No fault may be running; driver lock held for writing; the driver has unmapped
 * every range (7.3). Invalidations may run: each subscription ends, and its callbacks with it, before its ranges go.
 * Sleeps.
 */
export function* drmGpusvmFini(gpusvm: DrmGpusvm): Task<void> {
  const { mm } = gpusvm;
  if (mm === null) return;
  const notifiers: DrmGpusvmNotifier[] = [];
  gpusvm.notifiers.forEach((notifier) => notifiers.push(notifier));
  for (const notifier of notifiers) {
    yield* mmuIntervalNotifierRemove(notifier);
    notifier.removed = true;
    const ranges: DrmGpusvmRange[] = [];
    notifier.ranges.forEach((range) => ranges.push(range));
    for (const range of ranges) yield* drmGpusvmRangeRemove(gpusvm, range);
  }
  mm.mmdrop();
  if (gpusvm.notifiers.size > 0) gpusvm.machine.warn('drm_gpusvm_fini: notifiers left', gpusvm.name);
}
