import { type SchedPoint, schedPoint } from '@gpusvm/kernel';

/** A sequence number was read, nothing else was done. */
export const SEQ_READ: SchedPoint = schedPoint('drm_gpusvm_get_pages: sequence read');
/** HMM has collected the pages, the notifier lock is not taken yet. */
export const PAGES_FAULTED: SchedPoint = schedPoint('drm_gpusvm_get_pages: pages faulted');
/** The notifier lock was dropped to allocate the address array. */
export const ADDRS_ALLOCATED: SchedPoint = schedPoint('drm_gpusvm_get_pages: address array allocated');
/** Pages are mapped, the notifier lock is dropped, nothing is committed to the GPU. */
export const PAGES_MAPPED_UNLOCKED: SchedPoint = schedPoint('drm_gpusvm_get_pages: mapped, not committed');
/** A new notifier is registered, the mmap lock is not taken yet. */
export const NOTIFIER_REGISTERED: SchedPoint = schedPoint(
  'drm_gpusvm_range_find_or_insert: notifier registered',
);
/** A range is in no tree any more; its notifier may go next. */
export const RANGE_UNLINKED: SchedPoint = schedPoint('drm_gpusvm_range_remove: range unlinked');
/** Snapshot taken, notifier lock not taken yet. */
export const SNAPSHOT_TAKEN: SchedPoint = schedPoint('drm_gpusvm_scan_mm: snapshot taken');
