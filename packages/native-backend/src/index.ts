export type { AddonUnavailable } from './addon.ts';
export { resultName } from './errno.ts';
export { allocWindow } from './alloc-window.ts';
export { bindToVfio } from './bind-to-vfio.ts';
export type { DmaEngine, EngineWindow } from './devices/dma-engine.ts';
export { Edu, EDU_DEVICE, EDU_VENDOR } from './devices/edu.ts';
export { NvmeDevmem, NvmeMemory, type NvmeMemoryOptions } from './devices/nvme-memory.ts';
export { Nvme, NVME_DEVICE, NVME_VENDOR, NVME_WINDOW_BYTES, NvmeError } from './devices/nvme.ts';
export { examine, type ExamineOptions } from './doctor/examine.ts';
export type { DoctorCheck, DoctorDevice, DoctorReport } from './doctor/report.ts';
export { DirtyTracking } from './dirty-tracking.ts';
export { FaultQueue, type PageRequest } from './fault-queue.ts';
export { findPci } from './find-pci.ts';
export { Hwpt, type HwptOptions } from './hwpt.ts';
export { Iommufd } from './iommufd.ts';
export { IOMMUFD_CAPABILITIES, IommufdDomain, type IommufdDomainOptions } from './iommufd-domain.ts';
export { Ioas, type IovaRange, type IovaRanges, type MapRequest } from './ioas.ts';
export { type Answer, invoke, invokeAsync } from './invoke.ts';
export { nativeDmaDevice, type NativeDmaDeviceOptions } from './native-dma-device.ts';
export { PinnedArena } from './pinned-arena.ts';
export { KernelError } from './kernel-error.ts';
export type { AccessBits, MmapRequest, Sys, SysFiles, SysMemory } from './sys.ts';
export {
  compareSystems,
  describeDifference,
  type DifferentialOptions,
  type ProgramDifference,
} from './program/differential.ts';
export type { Program, Step } from './program/program.ts';
export { randomProgram, type RandomProgramOptions } from './program/random-program.ts';
export type { RigDevice } from './program/rig.ts';
export { ProgramSession, runProgram } from './program/run-program.ts';
export { shrinkProgram } from './program/shrink.ts';
export { SIM_AMD, SIM_KERNELS, SIM_MOCK, SIM_VTD, type SimDriver, type SimKernel } from './sim/sim-driver.ts';
export { SimEdu } from './sim/sim-edu.ts';
export { SimNvme } from './sim/sim-nvme.ts';
export type { SimBus, SimPciModel } from './sim/sim-pci.ts';
export { type SimFunctionOptions, SimSys, type SimSysOptions } from './sim/sim-sys.ts';
export { linuxSys } from './sys-addon.ts';
export type { Call } from './uapi/call.ts';
export * from './uapi/iommufd.ts';
export * from './uapi/iommufd-test.ts';
export * from './uapi/layout.ts';
export * from './uapi/vfio.ts';
export type { U64 } from './u64.ts';
export { VfioDevice, type VfioRegion } from './vfio-device.ts';
