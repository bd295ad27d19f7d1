import { FIRST, type MmBug } from './mm-bug.ts';

/** The callback dies: who had started the invalidation never ends it, and whoever reads waits for that for ever. */
export const HMM_B7: MmBug = {
  id: 'HMM-B7',
  title: 'an invalidate callback oopses',
  source: 'public incident report 2026-08-31, kernel 7.0.14 (amdgpu)',
  evidence: 'read',
  finds: 'exception',
  patch({ dev }) {
    dev.ops.zap = () => {
      throw new Error('oops in the invalidate callback: NULL page directory');
    };
  },
  tasks: {
    device: ({ dev }) => dev.access(FIRST, null),
    process: ({ mm }) => mm.munmap(FIRST, 1),
  },
};
