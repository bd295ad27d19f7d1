import { DMA_ATTR_MMIO, DMA_MAPPING_ERROR } from '@gpusvm/dma-iova';
import type { Bug } from './bug.ts';
import { Vector } from './users/vector-mapper.ts';

/** Forced bouncing copies MMIO: the test for the attribute is missing in front of swiotlb_map. */
export const D3: Bug = {
  id: 'D3',
  title: 'MMIO is bounced when bouncing is forced',
  source: '057e5e07420c (September 2026)',
  evidence: 'subject',
  rules: { swiotlb: 'I19' },
  patch(w) {
    const { mapPhys } = w.dma;
    w.dma.mapPhys = (dev, phys, size, dir, attrs) => {
      if (dev.mode !== 'swiotlb') return mapPhys(dev, phys, size, dir, attrs);
      const slot = dev.swiotlb!.map(phys, size, dir, attrs, 0);
      const dmaAddrBytes = slot < 0 ? DMA_MAPPING_ERROR : slot;
      if (dev.trace.mapPhys.enabled) dev.trace.mapPhys.emit(dev, dmaAddrBytes, phys, size, dir, attrs);
      return dmaAddrBytes;
    };
  },
  trigger(w) {
    const pfn = w.alloc(0, 'BAR of a peer');
    const v = new Vector();
    v.segments = [{ physBytes: pfn * 4096, sizeBytes: 4096 }];
    v.attrs = DMA_ATTR_MMIO;
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
    w.release(pfn, 0);
  },
};
