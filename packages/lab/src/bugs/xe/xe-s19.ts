import { done } from '@gpusvm/kernel';
import { gpuTouches, repeatedly } from './gpu.ts';
import { XE_FIRST, type XeBug } from './xe-bug.ts';

/** X3 for ranges: the callback takes the GPU's entries away and leaves the DMA mappings, whose pages mm then frees. */
export const XE_S19: XeBug = {
  id: 'XE-S19',
  title: 'the invalidate callback does not undo the DMA mappings',
  source: '4c8205134178 (unmap userptrs in the MMU notifier), for ranges',
  evidence: 'subject',
  finds: 'S19',
  system: true,
  patch({ xe }) {
    xe.ops.unmapPages = () => done(undefined);
  },
  tasks: {
    GPU: (w) => gpuTouches(w, [0]),
    process: (w) => repeatedly(w, ({ mm }) => mm.madviseDontneed(XE_FIRST, 16)),
  },
};
