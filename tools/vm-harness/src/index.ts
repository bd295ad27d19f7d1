export { bootGuest, GuestError, type GuestOptions, type GuestResult } from './boot-guest.ts';
export {
  buildKernel,
  type BuiltKernel,
  findKernel,
  KERNEL_VERSIONS,
  type KernelVersion,
} from './kernel-build.ts';
export { EDU_ADDRESS, type IommuKind, NVME_ADDRESS } from './qemu-arguments.ts';
export { type FtraceEvent, lostEvents, parseFtrace } from './trace/ftrace.ts';
export {
  countEvents,
  invalidationOf,
  MARKER_IOVA_BYTES,
  parseQemuTrace,
  type QemuEvent,
  type QemuInvalidation,
  type QemuPhase,
  splitPhases,
} from './trace/qemu-trace.ts';
