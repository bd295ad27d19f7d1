import { DmaDevice, type IommuMode, type PhysicalMemory, TagMemory } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';

/** Memory and a device of one check. */
export interface MapPlace {
  readonly memory: PhysicalMemory;
  readonly device: DmaDevice;
  /** The device is destroyed and nothing is in use any more: give the memory back. @throws Error when something is left. */
  close(): void;
}

/** What a suite of mapping strategies runs on: the simulation, or a real IOMMU with real memory. */
export interface MapGround {
  readonly modes: readonly IommuMode[];
  /** Arrays with more folios are left out, where each page costs much; default none. */
  readonly mostFolios?: number;
  /** Fresh memory of at least so many pages, and a device that sees none of it. */
  make(machine: Machine, mode: IommuMode, pages: number): MapPlace;
}

/** Tag memory and the simulated IOMMU. */
export const SIMULATED_GROUND: MapGround = {
  modes: ['none', 'strict', 'lazy', 'swiotlb'],
  make: (machine, mode, pages) => {
    const memory = new TagMemory(machine, { pages });
    return {
      memory,
      device: new DmaDevice(machine, memory, { name: 'device', iommu: mode }),
      close: () => undefined,
    };
  },
};
