import { dmaGetMergeBoundary, dmaMaxMappingSize, dmaOptMappingSize } from '@gpusvm/dma-iova';
import { hex } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';

function setting(
  set: (dev: Parameters<typeof dmaOptMappingSize>[0], value: number) => void,
  answer = 'ok',
): OracleOp {
  return {
    min: 1,
    max: 1,
    call: ({ dev }, [value]) => {
      set(dev, value!);
      return answer;
    },
  };
}

/** What a driver says of its device: settings.c of the module. */
export const settingsOps: Readonly<Record<string, OracleOp>> = {
  mask: setting((dev, bits) => {
    dev.dmaMaskBits = bits;
  }, '0'),
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
