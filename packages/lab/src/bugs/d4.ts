import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import type { Bug } from './bug.ts';
import { type Segment, Vector } from './users/vector-mapper.ts';

const MMIO = 2 ** 40;

/** Peer memory whose segments differ in length is mapped with the length of the first one. Our reconstruction. */
export const D4: Bug = {
  id: 'D4',
  title: 'a peer-to-peer list of different lengths is mapped with one length',
  source: 'CVE-2026-74277 (7.1.5)',
  evidence: 'subject',
  rules: { none: 'I17', strict: 'I6', lazy: 'I6' },
  patch(w) {
    const { map } = w.vectors;
    w.vectors.map = (dma, dev, v) => {
      const { segments } = v;
      const wrong: Segment[] = segments.map((s) => ({ ...s, sizeBytes: segments[0]!.sizeBytes }));
      v.segments = wrong;
      const err = map(dma, dev, v);
      // What is undone later is what the caller believes to be mapped.
      v.segments = segments;
      v.linkedBytes = segments.reduce((sum, s) => sum + s.sizeBytes, 0);
      v.mapped = v.mapped.map((m, i) => ({ ...m, sizeBytes: segments[i]!.sizeBytes }));
      return err;
    };
  },
  trigger(w) {
    const v = new Vector();
    v.attrs = DMA_ATTR_MMIO;
    v.segments = [8192, 32768, 4096].map((sizeBytes, i) => ({ physBytes: MMIO + i * 2 ** 21, sizeBytes }));
    if (w.vectors.map(w.dma, w.dev, v) === 0) w.vectors.unmap(w.dma, w.dev, v);
  },
};
