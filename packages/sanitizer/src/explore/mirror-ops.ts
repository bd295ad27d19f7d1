import {
  type HmmRange,
  hmmRangeFault,
  MIGRATE_PFN_MIGRATE,
  type MigrateVma,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  type MmuNotifierRange,
  type VmFault,
} from '@gpusvm/hmm';
import { done, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import type { MirrorDevice } from './mirror-device.ts';

/**
 * The steps of a {@link MirrorDevice} that the protocols of mm are about. A bug of a driver is one of these replaced.
 */
export interface MirrorOps {
  /** Keep other faults and migrations of the driver out, and let them in again. */
  exclude: (dev: MirrorDevice) => Task<void>;
  include: (dev: MirrorDevice) => void;
  /** Begin the read side. */
  readBegin: (dev: MirrorDevice) => Task<number>;
  /** Fault the pages of the range, under the mmap lock. */
  walk: (dev: MirrorDevice, range: HmmRange) => Task<Errno>;
  /** Under the user lock: whether the range has changed since the read side began. */
  isStale: (dev: MirrorDevice, range: HmmRange) => boolean;
  /** Whether a result may be mapped for writing. */
  mayWrite: (dev: MirrorDevice, range: HmmRange, slot: number) => boolean;
  /** Whether an invalidation is the driver's own and concerns nothing that the device maps. */
  isOwn: (dev: MirrorDevice, range: MmuNotifierRange) => boolean;
  /** Note the invalidation, under the user lock. */
  setSeq: (dev: MirrorDevice, curSeq: number) => void;
  /** Take the entries of `[startPage, endPage)` out of the device's page table, under the user lock. */
  zap: (dev: MirrorDevice, startPage: number, endPage: number) => void;
  /** Wait for accesses under way in the range. */
  quiesce: (dev: MirrorDevice, startPage: number, endPage: number) => Task<void>;
  /** A page of device memory for a migration; -1 to leave the source where it is. */
  reserve: (dev: MirrorDevice) => Task<Pfn>;
  /** Move or clear the contents of one page; complete on return. */
  copy: (dev: MirrorDevice, from: Pfn, to: Pfn) => Task<void>;
  /** What a migration for a CPU fault says is the fault's own folio. */
  faultFolio: (vmf: VmFault) => Pfn;
  /** Collect what can migrate. */
  setup: (args: MigrateVma) => Task<Errno>;
  commit: (args: MigrateVma) => Task<void>;
  /** Slots that moved, after the commit. */
  moved: (args: MigrateVma) => number;
  finalize: (args: MigrateVma) => Task<void>;
}

/** Correct steps. */
export function mirrorOps(): MirrorOps {
  return {
    exclude: (dev) => dev.svmLock.lock(),
    include: (dev) => dev.svmLock.unlock(),
    readBegin: (dev) => mmuIntervalReadBegin(dev.sub),
    walk,
    isStale: (_dev, range) => mmuIntervalReadRetry(range.notifier, range.notifierSeq),
    mayWrite: (dev, range, slot) => dev.isWritable(range, slot),
    isOwn: () => false,
    setSeq: (dev, curSeq) => mmuIntervalSetSeq(dev.sub, curSeq),
    zap: (dev, startPage, endPage) => dev.zapEntries(startPage, endPage),
    quiesce: (dev, startPage, endPage) => dev.waitIdle(startPage, endPage),
    reserve: (dev) => done(dev.allocPage()),
    copy: (dev, from, to) => dev.copyPage(from, to),
    faultFolio: (vmf) => vmf.folio,
    setup: migrateVmaSetup,
    commit: migrateVmaPages,
    moved: ({ src, npages }) => {
      let moved = 0;
      for (let i = 0; i < npages; i++) if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) !== 0) moved++;
      return moved;
    },
    finalize: migrateVmaFinalize,
  };
}

function* walk(dev: MirrorDevice, range: HmmRange): Task<Errno> {
  const { mm } = dev;
  yield* mm.mmapLock.downRead();
  try {
    return yield* hmmRangeFault(mm, range);
  } finally {
    mm.mmapLock.upRead();
  }
}
