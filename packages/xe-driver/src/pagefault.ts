import { EFAULT, EINVAL, ENOENT, EPERM, type Errno, type Task } from '@gpusvm/kernel';
import { xeSvmHandlePagefault } from './svm-fault.ts';
import type { XeDevice } from './xe-device.ts';

/** Access type of a fault (enum xe_pagefault_access_type). */
export const XE_PAGEFAULT_ACCESS_READ: 0 = 0;
export const XE_PAGEFAULT_ACCESS_WRITE: 1 = 1;
export const XE_PAGEFAULT_ACCESS_ATOMIC: 2 = 2;
/** Bits of the access byte that hold the type proper. */
export const XE_PAGEFAULT_ACCESS_MASK: 3 = 3;
/** Bit of the access byte: a prefetch instruction asked; nobody waits for the data. */
export const XE_PAGEFAULT_ACCESS_PREFETCH: 128 = 128;

/** Kind of a fault (enum xe_pagefault_type). */
export const XE_PAGEFAULT_TYPE_NOT_PRESENT: 0 = 0;
export const XE_PAGEFAULT_TYPE_WRITE_ACCESS_VIOLATION: 1 = 1;
export const XE_PAGEFAULT_TYPE_ATOMIC_ACCESS_VIOLATION: 2 = 2;
/** Type and level byte with which the hardware says that the fault must be refused. */
export const XE_PAGEFAULT_TYPE_LEVEL_NACK: 255 = 255;

/** One GPU page fault (struct xe_pagefault): what the consumer needs, and the producer's answer function. */
export interface XePagefault {
  readonly asid: number;
  /** Virtual page number. */
  readonly page: number;
  /** Access type, with {@link XE_PAGEFAULT_ACCESS_PREFETCH} or without. */
  readonly access: number;
  /** Type in the high nibble, level in the low one, or {@link XE_PAGEFAULT_TYPE_LEVEL_NACK}. */
  readonly typeLevel: number;
  /** Answer to the hardware (ops.ack_fault); called exactly once. */
  readonly ackFault: (err: Errno) => void;
  /** A reset of the GT dropped the fault; called instead of an answer. */
  readonly dropped: () => void;
}

/**
 * Serve one fault (xe_pagefault_service). Sleeps: takes the VM lock for writing.
 *
 * @returns 0; -EFAULT for a fault to be refused; -EINVAL without a VM or an area at the address; -ENOENT when the
 * VM is closed; -EPERM for a write to a read-only area; else what the SVM path returns.
 */
export function* xePagefaultService(xe: XeDevice, fault: XePagefault): Task<Errno> {
  if (fault.typeLevel === XE_PAGEFAULT_TYPE_LEVEL_NACK) return -EFAULT;
  yield* xe.usmLock.downRead();
  const vm = xe.vmOfAsid(fault.asid);
  const live = vm !== null && vm.ref.getUnlessZero('fault');
  xe.usmLock.upRead();
  if (vm === null || !live) return -EINVAL;
  // The kernel compares the whole byte, so a prefetching read of a read-only area fails there (candidate U11).
  const access = fault.access & XE_PAGEFAULT_ACCESS_MASK;
  yield* vm.lock.downWrite();
  let err: Errno;
  const vma = vm.vmas.lookup(fault.page);
  if (vm.closed) err = -ENOENT;
  else if (vma === null) err = -EINVAL;
  else if (vma.readOnly && access !== XE_PAGEFAULT_ACCESS_READ) err = -EPERM;
  else err = yield* xeSvmHandlePagefault(vm, vma, fault.page, access === XE_PAGEFAULT_ACCESS_ATOMIC);
  vm.lock.upWrite();
  vm.ref.put('fault');
  return err;
}
