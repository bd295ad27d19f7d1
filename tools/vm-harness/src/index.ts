export { bootGuest, GuestError, type GuestOptions, type GuestResult } from './boot-guest.ts';
export {
  buildKernel,
  type BuiltKernel,
  findKernel,
  KERNEL_VERSIONS,
  type KernelVersion,
} from './kernel-build.ts';
export { EDU_ADDRESS, type IommuKind, NVME_ADDRESS } from './qemu-arguments.ts';
