import { DmaDevice, type IommuMode, type PhysicalMemory, TagMemory } from '@gpusvm/dma-iova';
import type { KernelProfileName, Machine } from '@gpusvm/kernel';

/** Memory and a device that pages are mapped for. */
export interface MapPlace {
  /** At least 4096 pages. */
  readonly memory: PhysicalMemory;
  readonly device: DmaDevice;
  /** Called when everything is given back and the device destroyed. @throws when something is left. */
  readonly leave: () => void;
}

/** Where the suite of the mapping strategies runs: the simulation, or real memory behind a real IOMMU. */
export interface MapGround {
  readonly modes: readonly IommuMode[];
  readonly profiles: readonly KernelProfileName[];
  /** An unmap steps over holes, where a page table stops at the first one. */
  readonly stepsOverHoles: boolean;
  /** Longest pattern; where every access is a transfer and every map a system call, short ones are enough. */
  readonly mostSlots: number;
  /** A device without mappings on a new machine. */
  enter(machine: Machine, mode: IommuMode): MapPlace;
}

const MEMORY_PAGES = 4096;

/** The simulated memory and IOMMU of `@gpusvm/dma-iova`. */
export const SIMULATED: MapGround = {
  modes: ['none', 'strict', 'lazy', 'swiotlb'],
  profiles: ['linux-7.2', 'linux-7.3'],
  stepsOverHoles: false,
  mostSlots: Number.POSITIVE_INFINITY,
  enter(machine, mode) {
    const memory = new TagMemory(machine, { pages: MEMORY_PAGES });
    const device = new DmaDevice(machine, memory, { name: 'device', iommu: mode });
    return { memory, device, leave() {} };
  },
};
