import { DmaDevice } from '@gpusvm/dma-iova';
import { makeDeviceExclusive, pinUserPages, unpinUserPages } from '@gpusvm/hmm';
import { UmemOdp } from '@gpusvm/hmm/umem-odp';
import { Mutex, type Task } from '@gpusvm/kernel';
import { FIRST, type MmContext } from '../explore/mm-program.ts';
import type { MmBug } from './mm-bug.ts';

/** An RDMA device maps both pages, the second one goes, the region is closed. */
function* rdma(c: MmContext, patch: (odp: UmemOdp) => void): Task<void> {
  const dev = new DmaDevice(c.machine, c.folios.memory, { name: 'rdma', iommu: 'strict' });
  const odp = new UmemOdp({ mm: c.mm, dev, startPage: FIRST, pages: 2 });
  yield* odp.open();
  yield* odp.fault(FIRST, 2, true);
  patch(odp);
  yield* c.mm.munmap(FIRST + 1, 1);
  yield* odp.close();
}

/** A bug that is a different program, not a different step. */
function program(
  right: (c: MmContext) => Task<unknown>,
  wrong: (c: MmContext) => Task<unknown>,
): Pick<MmBug, 'patch' | 'trigger'> {
  const patched = new WeakSet<MmContext>();
  return {
    patch: (c) => void patched.add(c),
    trigger: (c) => (patched.has(c) ? wrong(c) : right(c)),
  };
}

function* pinned(c: MmContext): Task<Float64Array> {
  const pfns = new Float64Array(1);
  yield* pinUserPages(c.mm, FIRST, pfns, { write: true });
  return pfns;
}

function* locked(c: MmContext): Task<Mutex> {
  const lock = new Mutex(c.machine, 'range_lock of gpu');
  yield* lock.lock();
  return lock;
}

/** The first page is exclusive to the device, once. */
function* exclusive(c: MmContext, unlock: boolean): Task<void> {
  yield* c.mm.mmapLock.downRead();
  const pfn = yield* makeDeviceExclusive(c.mm, FIRST, c.dev);
  c.mm.mmapLock.upRead();
  if (unlock) c.folios.unlock(pfn);
  c.folios.put(pfn);
}

/** What is taken and never given back, or kept longer than its page. */
export const LIFETIME_BUGS: readonly MmBug[] = [
  {
    what: 'a pin is never given back',
    reports: ['S2'],
    says: 'page frame 1 has 1 pins that nobody gave back',
    ...program(function* (c) {
      unpinUserPages(c.folios, yield* pinned(c), 1);
    }, pinned),
  },
  {
    what: 'a task ends with a lock',
    reports: ['LOCK'],
    says: 'task main ended with mutex range_lock of gpu held',
    ...program(function* (c) {
      (yield* locked(c)).unlock();
    }, locked),
  },
  {
    what: 'a page is given back without being unlocked',
    reports: ['LOCK'],
    says: 'page frame 1 is still locked at the end',
    ...program(
      (c) => exclusive(c, true),
      (c) => exclusive(c, false),
    ),
  },
  {
    what: 'a callback leaves the pages mapped for DMA',
    reports: ['S19', 'S20'],
    says: 'page 1025, page frame 2, stays mapped for DMA of rdma after its callback for UNMAP',
    ...program(
      (c) => rdma(c, () => {}),
      (c) =>
        rdma(c, (odp) => {
          const unmapDmaPages = odp.unmapDmaPages.bind(odp);
          odp.unmapDmaPages = (from, to) => unmapDmaPages(from, Math.min(to, FIRST + 1));
        }),
    ),
  },
  {
    what: 'a region is closed with a page mapped',
    reports: ['S20'],
    says: 'the DMA map of rdma is freed with 1 entry mapped',
    ...program(
      (c) => rdma(c, () => {}),
      (c) =>
        rdma(c, (odp) => {
          const unmapDmaPages = odp.unmapDmaPages.bind(odp);
          odp.unmapDmaPages = (from, to) => unmapDmaPages(Math.max(from, FIRST + 1), to);
        }),
    ),
  },
];
