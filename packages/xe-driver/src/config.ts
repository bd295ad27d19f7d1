import type { KernelProfile } from '@gpusvm/kernel';

/** A device time and where it comes from. */
export interface XeTiming {
  /** Copy bandwidth with 4K window entries, bytes per nanosecond. costs.md E1: 2 MiB in 223 us. */
  copySmallBytesPerNs: number;
  /** Copy bandwidth with 2M window entries, bytes per nanosecond. costs.md E1: 2 MiB in 106 us. */
  copyHugeBytesPerNs: number;
  /** Clearing device memory, bytes per nanosecond. Assumed: on-device, ten times a PCIe copy. */
  clearBytesPerNs: number;
  /** Fixed cost of a copy-engine job. Assumed in xe-driver.md 3.7: about 10 us. */
  jobOverheadNs: number;
  /** A TLB flush until its fence signals. Assumed in xe-driver.md 3.7: about 1 us. */
  tlbFlushNs: number;
}

/** Device times charged to the virtual clock; every one can be overridden. */
export const XE_TIMING: Readonly<XeTiming> = {
  copySmallBytesPerNs: 9.4,
  copyHugeBytesPerNs: 19.8,
  clearBytesPerNs: 198,
  jobOverheadNs: 10_000,
  tlbFlushNs: 1000,
};

/** Driver behaviour that differs between kernels. */
export interface XeBehaviour {
  /**
   * A get_pages error that is not retried ends at a label that returns 0, so the fault is answered as served
   * and the GPU faults again (quirk Qd; still in 7.3.4). False: the error is the answer.
   */
  readonly getPagesErrorIsSuccess: boolean;
  /** `devmem_only` on a range that may not migrate is -EACCES (7.3); before, it was answered as served. */
  readonly refusesUnmigratable: boolean;
  /**
   * The fault loop has a bound of its own. The kernel's has none for faults that do not insist on device memory
   * (quirk Qe): there, `faultRounds` is the model's guard, and running into it is reported as a kernel warning.
   */
  readonly boundsFaultLoop: boolean;
  /** Rounds of the fault loop before it ends with the last error. */
  readonly faultRounds: number;
}

/** Behaviour of a kernel profile; the profile itself has no section for the driver. */
export function xeBehaviour(profile: KernelProfile): XeBehaviour {
  if (profile.name === 'next') {
    return {
      getPagesErrorIsSuccess: false,
      refusesUnmigratable: true,
      boundsFaultLoop: true,
      faultRounds: 8,
    };
  }
  const refusesUnmigratable = profile.name === 'linux-7.3';
  return { getPagesErrorIsSuccess: true, refusesUnmigratable, boundsFaultLoop: false, faultRounds: 256 };
}

/** Default time slice of a migration that an atomic access insists on (atomic_svm_timeslice_ms). */
export const ATOMIC_SVM_TIMESLICE_MS: 5 = 5;
/** Runtime after which a fault worker queues itself again. */
export const PAGEFAULT_WORKER_SLICE_NS: number = 20e6;
/** Largest copy job (MAX_PREEMPTDISABLE_TRANSFER): 8 MiB, in pages. */
export const MAX_COPY_PAGES: 2048 = 2048;
/** Quadwords that one store command of the copy engine may carry. */
export const MAX_STORE_QWORDS: number = 0x1fe;
/**
 * Accesses that are faulted again in a row after a successful answer before the execution side reports -EIO:
 * with quirk Qd a fault can be answered as served for ever.
 */
export const GPU_REFAULT_LIMIT: 64 = 64;
