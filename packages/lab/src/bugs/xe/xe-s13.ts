import { done } from '@gpusvm/kernel';
import { gpuTouches } from './gpu.ts';
import type { XeBug } from './xe-bug.ts';

/** The copy to device memory is queued and nobody waits for its fence: the pages become visible before their contents. */
export const XE_S13: XeBug = {
  id: 'XE-S13',
  title: 'a migration does not wait for the fence of its copy',
  source: 'Documentation/mm/hmm.rst, migration to device memory',
  evidence: 'inferred',
  finds: 'S13',
  patch({ machine, xe }) {
    const ops = xe.pagemap!.devmemOps;
    const copyToDevmem = ops.copyToDevmem.bind(ops);
    ops.copyToDevmem = (pages, addrs, npages, fence) => {
      machine.spawn(copyToDevmem(pages, addrs, npages, fence), 'copy');
      return done(0);
    };
  },
  tasks: { GPU: (w) => gpuTouches(w, [0, 8]) },
};
