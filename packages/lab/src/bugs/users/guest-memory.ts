import type { DmaDevice } from '@gpusvm/dma-iova';
import { domainUnmap } from './domain-user.ts';

/** A range of guest memory that is mapped straight into a domain. */
export interface GuestRange {
  /** First page in the device's address space. */
  readonly page: number;
  readonly pfn: number;
  readonly order: number;
}

/** What a user of a domain does with guest memory, as a table, so that a live patch can replace it. */
export interface GuestOps {
  /** Take a range out of the domain and give its pages back (iopt_unmap_domains, then iopt_unpin). */
  unmap: (dev: DmaDevice, range: GuestRange, release: (pfn: number, order: number) => void) => void;
}

/** The correct order: the domain forgets the pages before anybody else gets them. */
export function guestOps(): GuestOps {
  return {
    unmap(dev, { page, pfn, order }, release) {
      domainUnmap(dev, page, 2 ** order);
      release(pfn, order);
    },
  };
}
