import { done } from '@gpusvm/kernel';
import { gpuTouches, repeatedly } from './gpu.ts';
import { XE_FIRST, type XeBug } from './xe-bug.ts';

/** Qp in its worst form: the flush does not happen and the invalidation goes on, so that the TLB keeps what mm takes back. */
export const XE_S7: XeBug = {
  id: 'XE-S7',
  title: 'the invalidate callback returns without having flushed the TLB',
  source: 'drivers/gpu/drm/xe/xe_svm.c, xe_svm_invalidate (quirk Qp)',
  evidence: 'read',
  finds: 'S7',
  patch({ xe }) {
    xe.ops.flushTlb = () => done(undefined);
  },
  tasks: {
    GPU: (w) => gpuTouches(w, [0, 8]),
    process: (w) => repeatedly(w, ({ mm }) => mm.madviseDontneed(XE_FIRST, 4)),
  },
};
