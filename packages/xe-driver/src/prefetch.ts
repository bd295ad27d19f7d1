import { NotImplemented, type Task } from '@gpusvm/kernel';
import type { XeVm } from './vm.ts';

/**
 * VM_BIND with operation PREFETCH on a mirrored area (vm_bind_ioctl_ops_create, prefetch_ranges).
 *
 * @throws NotImplemented always: the fault path is the only way into device memory here.
 */
export function xeVmPrefetch(vm: XeVm, startPage: number, endPage: number): Task<number> {
  throw new NotImplemented(`prefetch of pages [${startPage}, ${endPage}) of address space ${vm.asid}`);
}
