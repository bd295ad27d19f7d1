import { DmaDevice, type DmaDeviceOptions, type IommuMode, TagMemory } from '@gpusvm/dma-iova';
import { Machine, type MachineOptions } from '@gpusvm/kernel';
import { attachSanitizer, type RuleId, type Sanitizer, type SanitizerOptions } from '../src/index.ts';

/** The four modes in which every scenario runs. */
export const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];

export interface Rig {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly dev: DmaDevice;
  readonly sanitizer: Sanitizer;
  /** Rules broken so far. */
  broken(): RuleId[];
}

/** A machine with one watched device. */
export function rig(
  iommu: IommuMode = 'strict',
  device: Partial<DmaDeviceOptions> = {},
  options: Partial<SanitizerOptions> = {},
  machineOptions: MachineOptions = {},
): Rig {
  const machine = new Machine(machineOptions);
  const memory = new TagMemory(machine, { pages: 6144 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu0', iommu, ...device });
  const sanitizer = attachSanitizer(machine, { mode: 'report', devices: [dev], ...options });
  return { machine, memory, dev, sanitizer, broken: () => sanitizer.brokenRules() };
}
