import {
  allocWindow,
  Iommufd,
  nativeDmaDevice,
  Nvme,
  NVME_WINDOW_BYTES,
  PinnedArena,
  type Sys,
  VfioDevice,
} from '@gpusvm/native-backend';
import type { GroundMaker } from './ground.ts';

/** Where the controller's rings are mapped; the DMA layer keeps off. */
const RINGS_IOVA = 0x40000000;

/**
 * Real memory behind a real IOMMU: the scheme maps through iommufd, and every access of the GPU is DMA of an NVMe
 * controller through what it mapped. The first 64 KiB of the controller's namespace are overwritten.
 *
 * @param bdf - an NVMe controller that belongs to vfio-pci.
 * @throws TypeError for IOMMU modes without translation.
 */
export function nativeGround(sys: Sys, bdf: string): GroundMaker {
  return (machine, pages, iommu) => {
    if (iommu !== 'strict' && iommu !== 'lazy')
      throw new TypeError(`the native backend translates: IOMMU mode strict or lazy, not ${iommu}`);
    const iommufd = Iommufd.open(sys);
    const memory = new PinnedArena(machine, sys, { pages });
    const ioas = iommufd.allocIoas();
    const vfio = VfioDevice.open(iommufd, bdf);
    vfio.attach(ioas);
    const engine = new Nvme(
      vfio,
      allocWindow(sys, ioas, { lengthBytes: NVME_WINDOW_BYTES, iova: RINGS_IOVA }),
    );
    const reserved = [{ firstByte: RINGS_IOVA, lastByte: RINGS_IOVA + NVME_WINDOW_BYTES - 1 }];
    const device = nativeDmaDevice(machine, { name: 'gpu', ioas, arena: memory, iommu, reserved, engine });
    const close = (): number => {
      const left = ioas.unmapAll() - NVME_WINDOW_BYTES;
      iommufd[Symbol.dispose]();
      memory[Symbol.dispose]();
      return left;
    };
    return { memory, device, close };
  };
}
