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
export type { DriverData } from './driver-data.ts';
export { EventQueue, type EventQueueOptions, type ViommuEvent } from './event-queue.ts';
export { EngineDmaDevice } from './engine-dma-device.ts';
export { findPci } from './find-pci.ts';
export { Hwpt, type HwptOptions } from './hwpt.ts';
export { Iommufd } from './iommufd.ts';
export { IOMMUFD_CAPABILITIES, IommufdDomain, type IommufdDomainOptions } from './iommufd-domain.ts';
export type { Invalidated } from './invalidate.ts';
export { Ioas, type IovaRange, type IovaRanges, type MapFileRequest, type MapRequest } from './ioas.ts';
export { type Answer, invoke, invokeAsync } from './invoke.ts';
export { nativeDmaDevice, type NativeDmaDeviceOptions } from './native-dma-device.ts';
export { NestedHwpt, type NestedHwptOptions } from './nested-hwpt.ts';
export { PasidAttachment } from './pasid-attachment.ts';
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
export { IOMMUFD_CALLS } from './uapi/iommufd-calls.ts';
export * from './uapi/iommufd-file.ts';
export * from './uapi/iommufd-test.ts';
export * from './uapi/iommufd-test-virtual.ts';
export * from './uapi/iommufd-virtual.ts';
export * from './uapi/layout.ts';
export * from './uapi/vfio.ts';
export type { U64 } from './u64.ts';
export { type AttachTarget, VfioDevice, type VfioRegion } from './vfio-device.ts';
export { type HwQueueOptions, Viommu, type ViommuOptions } from './viommu.ts';
export { ViommuObject } from './viommu-object.ts';
