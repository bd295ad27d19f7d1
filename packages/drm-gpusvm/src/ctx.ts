/** Parameters of one call (struct drm_gpusvm_ctx, complete list of 7.3). */
export interface DrmGpusvmCtx {
  /** Owner whose device-private pages are taken as they are; null faults every device page back to RAM. */
  devicePrivatePageOwner: object | null;
  /** Chunks of at most this many pages (4K excepted) are taken only if every page of them is populated. 0 = never look. */
  checkPagesThreshold: number;
  /** Time for which migrated pages shall stay; only the driver reads it. */
  timesliceMs: number;
  /** The caller is in its invalidate callback and holds the notifier lock for writing. */
  inNotifier: boolean;
  /** The device only reads: no write fault, DMA direction TO_DEVICE. */
  readOnly: boolean;
  /** Device memory exists, so new ranges of anonymous memory may migrate. */
  devmemPossible: boolean;
  /** Only device memory will do: a system page is -EFAULT. */
  devmemOnly: boolean;
  /** System and device pages, or device pages of several allocations, may be mixed in one pages object. */
  allowMixed: boolean;
}
