import type { MmuNotifierRange } from '@gpusvm/hmm';
import type { DrmGpusvmPages } from './pages.ts';
import type { DrmGpusvmRange } from './range.ts';

/**
 * Note that the CPU mapping of a range went away (drm_gpusvm_range_set_unmapped); called from the invalidate callback
 * for UNMAP events, with the notifier lock held for writing. The range and its pages object then never get pages
 * again; the driver's garbage collector removes them. With several pages objects (one a device), call it for each.
 */
export function drmGpusvmRangeSetUnmapped(
  range: DrmGpusvmRange,
  pages: DrmGpusvmPages,
  event: MmuNotifierRange,
): void {
  const { gpusvm, flags, startPage, endPage } = range;
  gpusvm.notifierLock.assertHeldWrite();
  flags.unmapped = true;
  pages.flags.unmapped = true;
  const partial = startPage < event.startPage || endPage > event.endPage;
  if (partial) flags.partialUnmap = true;
  const { rangeUnmapped } = gpusvm.trace;
  if (rangeUnmapped.enabled) rangeUnmapped.emit({ gpusvm: gpusvm.name, startPage, endPage, partial });
}
