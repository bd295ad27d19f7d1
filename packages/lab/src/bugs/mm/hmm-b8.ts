import { zoneDevicePageInit } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import type { MmBug, MmWorld } from './mm-bug.ts';

const ORDER = 9;

/** A large device folio takes 2^order references of its pagemap and puts one. */
export const HMM_B8: MmBug = {
  id: 'HMM-B8',
  title: 'a large device folio puts one pagemap reference of the 512 it took',
  source: '20250918122813.1440093-1-clm@meta.com (review of the THP series)',
  evidence: 'read',
  finds: 'S5',
  devicePages: 2 ** ORDER,
  patch({ dev: { pagemap } }) {
    const free = pagemap.freeFolio.bind(pagemap);
    pagemap.freeFolio = (head, order) => {
      free(head, order);
      pagemap.liveReferences += 2 ** order - 1;
    };
  },
  tasks: { driver: allocAndFree },
};

// oxlint-disable-next-line require-yield
function* allocAndFree({ dev, folios }: MmWorld): Task<void> {
  const { pagemap } = dev;
  zoneDevicePageInit(folios, pagemap.basePfn, pagemap, ORDER, dev);
  folios.unlock(pagemap.basePfn);
  folios.put(pagemap.basePfn);
}
