import { DmaDevice, type IommuMode, type PhysicalMemory, TagMemory } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';

/** Memory and a device in front of it, on which a comparison runs. */
export interface Ground {
  readonly memory: PhysicalMemory;
  readonly device: DmaDevice;
  /** After the device is destroyed. @returns bytes that the real IOMMU still maps; 0 for a simulated one. */
  readonly close: () => number;
}

/** Makes the ground of one scheme: so many pages, in this IOMMU mode. */
export type GroundMaker = (machine: Machine, pages: number, iommu: IommuMode) => Ground;

/** Memory of content tags and a simulated IOMMU. */
export const simulatedGround: GroundMaker = (machine, pages, iommu) => {
  const memory = new TagMemory(machine, { pages });
  const device = new DmaDevice(machine, memory, {
    name: 'gpu',
    iommu,
    // The kernel's 256 KiB would end every comparison in this mode at the first 2 MiB folio, with any scheme.
    swiotlbSegmentBytes: 2 ** 21,
  });
  return { memory, device, close: () => 0 };
};
