import { NotImplemented, type Task } from '@gpusvm/kernel';
import type { XeVm } from './vm.ts';

/** Attributes of DRM_IOCTL_XE_MADVISE. */
export type XeMadviseAttribute = 'preferred-location' | 'atomic' | 'pat';

/**
 * Change an attribute of an interval (xe_vm_madvise_ioctl).
 *
 * @throws NotImplemented always: attributes are given when an area is bound.
 */
export function xeVmMadvise(
  vm: XeVm,
  startPage: number,
  endPage: number,
  attribute: XeMadviseAttribute,
): Task<number> {
  throw new NotImplemented(
    `madvise ${attribute} on pages [${startPage}, ${endPage}) of address space ${vm.asid}`,
  );
}
