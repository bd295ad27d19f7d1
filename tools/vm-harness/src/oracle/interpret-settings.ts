import { type DmaDevice, dmaGetMergeBoundary, dmaMaxMappingSize, dmaOptMappingSize } from '@gpusvm/dma-iova';
import { EIO } from '@gpusvm/kernel';
import { hex } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';

/** Without an IOMMU a mask has to reach all memory (dma_direct_supported): the guest has 1 GiB and no ZONE_DMA. */
const DIRECT_MASK_BITS = 30;

function setting(set: (dev: DmaDevice, value: number) => void): OracleOp {
  return {
    min: 1,
    max: 1,
    call: ({ dev }, [value]) => {
      set(dev, value!);
      return 'ok';
    },
  };
}

/** What a driver says of its device: settings.c of the module. */
export const settingsOps: Readonly<Record<string, OracleOp>> = {
  mask: {
    min: 1,
    max: 1,
    call: ({ dev, domain }, [bits]) => {
      if (domain === null && bits! < DIRECT_MASK_BITS) return `-${EIO}`;
      dev.dmaMaskBits = bits!;
      return '0';
    },
  },
  min_align: setting((dev, mask) => {
    dev.minAlignMask = mask;
  }),
  max_segment: setting((dev, bytes) => {
    dev.maxSegmentBytes = bytes;
  }),
  boundary: setting((dev, mask) => {
    dev.segmentBoundaryBytes = mask + 1;
  }),
  limits: {
    min: 0,
    max: 0,
    call: ({ dev }) =>
      [
        dmaGetMergeBoundary(dev),
        dmaOptMappingSize(dev),
        dmaMaxMappingSize(dev),
        dev.maxSegmentBytes,
        dev.segmentBoundaryBytes - 1,
      ]
        .map(hex)
        .join(' '),
  },
};
