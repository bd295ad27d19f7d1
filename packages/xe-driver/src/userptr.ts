import { NotImplemented, type Task } from '@gpusvm/kernel';
import type { XeVm } from './vm.ts';

/**
 * VM_BIND of a userptr area (xe_userptr.c), with its own two-pass interval notifier.
 *
 * @throws NotImplemented always.
 */
export function xeVmBindUserptr(vm: XeVm, startPage: number, pages: number): Task<number> {
  throw new NotImplemented(`userptr of ${pages} pages at page ${startPage} of address space ${vm.asid}`);
}
