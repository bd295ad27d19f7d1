import { gpuTouches, repeatedly } from './gpu.ts';
import { XE_FIRST, type XeBug } from './xe-bug.ts';

/** The bind writes its entries without the commit gate: the pages may have been invalidated while it staged them. */
export const XE_S6: XeBug = {
  id: 'XE-S6',
  title: 'a bind does not ask again whether its pages are still valid',
  source: 'drivers/gpu/drm/xe/xe_pt.c, xe_pt_svm_userptr_pre_commit',
  evidence: 'inferred',
  finds: 'S6',
  system: true,
  patch({ xe }) {
    xe.ops.preCommit = () => true;
  },
  tasks: {
    GPU: (w) => gpuTouches(w, [0, 8]),
    process: (w) => repeatedly(w, ({ mm }) => mm.madviseDontneed(XE_FIRST, 16), 25),
  },
};
