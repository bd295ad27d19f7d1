import {
  DEVICE_MAP_TRACE,
  DMA_PFN_TRACE,
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HmmPfns,
  hmmRangeFault,
  type MigrateVma,
  migrateVmaPages,
  mmuIntervalNotifierInsert,
  MmuIntervalNotifier,
  mmuIntervalReadBegin,
  mmuIntervalSetSeq,
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
} from '@gpusvm/hmm';
import { Mutex, type Task } from '@gpusvm/kernel';
import { evict, migrateToDevice, type MmRuleId } from '@gpusvm/sanitizer';
import { FIRST, type MmContext } from '../explore/mm-program.ts';

/** Breaks the driver or mm, then runs what shows it; two pages are in RAM when it begins. */
export type Broken = (c: MmContext) => Task<unknown>;

/** One program for each rule that breaks it, the same steps being legal without what is broken. */
const BROKEN: Readonly<Record<MmRuleId, Broken>> = {
  *S1(c) {
    yield* c.dev.access(FIRST, null);
    c.dev.ops.zap = () => {};
    yield* c.mm.munmap(FIRST, 1);
  },
  *S2(c) {
    c.folios.get(c.mm.pfnAt(FIRST));
    yield* c.dev.access(FIRST, null);
  },
  *S3(c) {
    yield* c.mm.madviseDontneed(FIRST + 1, 1);
    const node = c.mm.pageTable.nodeOf(FIRST)!;
    const slot = FIRST & 511;
    node.bits[slot + 1] = node.bits[slot]!;
    node.pfn[slot + 1] = node.pfn[slot]!;
    c.folios.refs[node.pfn[slot]!]!++;
    c.folios.maps[node.pfn[slot]!]!++;
  },
  *S4(c) {
    // oxlint-disable-next-line require-yield
    c.dev.ops.finalize = function* (args) {
      c.folios.unlock(args.src.pfn[0]!);
    };
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S5(c) {
    yield* migrateToDevice(c.dev, FIRST, FIRST + 2);
    c.dev.pagemap.liveReferences -= 1;
  },
  *S6(c) {
    c.dev.ops.isStale = () => false;
    yield* c.dev.access(FIRST, null);
  },
  *S7(c) {
    yield* c.dev.access(FIRST, null);
    c.dev.ops.zap = () => {};
    yield* c.mm.mprotect(FIRST, 1, { read: true, write: false });
  },
  *S8(c) {
    yield* c.dev.access(FIRST, null);
    c.dev.ops.setSeq = () => {};
    yield* c.mm.mprotect(FIRST, 1, { read: true, write: false });
  },
  *S9(c) {
    c.dev.ops.readBegin = function* (dev) {
      yield* dev.userLock.lock();
      const seq = yield* mmuIntervalReadBegin(dev.sub);
      dev.userLock.unlock();
      return seq;
    };
    yield* c.dev.access(FIRST, null);
    yield* c.mm.munmap(FIRST, 1);
  },
  *S10(c) {
    const sub = new MmuIntervalNotifier();
    yield* mmuIntervalNotifierInsert(sub, c.mm, FIRST, 1, {
      // oxlint-disable-next-line require-yield
      *invalidate(_sub, _range, curSeq) {
        mmuIntervalSetSeq(sub, curSeq);
        return false;
      },
    });
    yield* c.mm.munmap(FIRST, 1);
  },
  *S11(c) {
    c.dev.ops.setSeq = (dev, curSeq) => mmuIntervalSetSeq(dev.sub, curSeq + 1);
    yield* c.mm.munmap(FIRST, 1);
  },
  *S12(c) {
    const { copy } = c.dev.ops;
    c.dev.ops.copy = function* (dev, from, to) {
      yield* copy(dev, from, to);
      dev.folios.unlock(to);
    };
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S13(c) {
    // oxlint-disable-next-line require-yield
    c.dev.ops.copy = function* (dev, from, to) {
      dev.traceCopy('start', from, to);
    };
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S14(c) {
    c.dev.ops.commit = function* (args: MigrateVma) {
      // Somebody looks at the page in passing, so that it is refused; the driver does not look at the answer.
      c.folios.get(args.src.pfn[0]!);
      yield* migrateVmaPages(args);
      c.folios.put(args.src.pfn[0]!);
      mapByDevice(c, args.dst.pfn[0]!);
    };
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S15(c) {
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
    yield* c.dev.access(FIRST, null);
    c.dev.ops.isOwn = (dev, { event, owner }) => event === 'MIGRATE' && owner === dev;
    yield* c.mm.cpuWrite(FIRST, 9);
  },
  *S16(c) {
    const { copy } = c.dev.ops;
    c.dev.ops.copy = function* (dev, from, to) {
      yield* copy(dev, from, to);
      dev.writeTag(from, 99);
    };
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S17(c) {
    c.dev.ops.finalize = function* () {};
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
  },
  *S18(c) {
    yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
    c.dev.ops.faultFolio = () => -1;
    yield* c.mm.cpuWrite(FIRST, 9);
  },
  *S19(c) {
    mapForDma(c, HMM_PFN_DMA_MAPPED, true);
    yield* c.mm.munmap(FIRST, 1);
  },
  *S20(c) {
    yield* c.mm.madviseDontneed(FIRST, 1);
    const pfns = new HmmPfns(1);
    pfns.flags[0] = HMM_PFN_DMA_MAPPED;
    yield* c.mm.mmapLock.downRead();
    const notifierSeq = yield* mmuIntervalReadBegin(c.dev.sub);
    const about = {
      startPage: FIRST,
      endPage: FIRST + 1,
      defaultFlags: 0,
      pfnFlagsMask: 0,
      devPrivateOwner: null,
    };
    yield* hmmRangeFault(c.mm, { ...about, notifier: c.dev.sub, notifierSeq, pfns });
    c.mm.mmapLock.upRead();
  },
  *S21(c) {
    yield* c.dev.access(FIRST, null);
    mapForDma(c, HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS | HMM_PFN_DMA_MAPPED, true);
  },
  *S22(c) {
    yield* c.mm.mprotect(FIRST, 1, { read: true, write: false });
    c.dev.ops.mayWrite = () => true;
    yield* c.dev.access(FIRST, null);
  },
  *LOCK(c) {
    const [a, b] = [new Mutex(c.machine, 'outer of x'), new Mutex(c.machine, 'inner of x')];
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const) {
      yield* first.lock();
      yield* second.lock();
      second.unlock();
      first.unlock();
    }
  },
};

/** The program that breaks a rule. */
export function brokenProgram(id: MmRuleId): Broken {
  const program = BROKEN[id];
  if (program === undefined) throw new RangeError(`no program breaks ${id}`);
  return program;
}

/** More ways to break some rules. */
export const MORE: readonly (readonly [MmRuleId, string, Broken])[] = [
  [
    'S6',
    'the user lock is dropped between the test and the entry',
    function* (c) {
      yield* c.mm.munmap(FIRST + 1, 1);
      const { isStale } = c.dev.ops;
      c.dev.ops.isStale = (dev, range) => {
        const stale = isStale(dev, range);
        dev.userLock.unlock();
        dev.userLock.tryLock();
        return stale;
      };
      yield* c.dev.access(FIRST, null);
    },
  ],
  [
    'S8',
    'its own migration is passed over and no lock keeps its faults out',
    function* (c) {
      yield* c.dev.access(FIRST, null);
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
      c.dev.ops.isOwn = (dev, { event, owner }) => event === 'MIGRATE' && owner === dev;
      yield* c.mm.cpuWrite(FIRST, 9);
    },
  ],
  [
    'S9',
    'pages are faulted under a lock that callbacks take',
    function* (c) {
      const { walk } = c.dev.ops;
      c.dev.ops.walk = function* (dev, range) {
        yield* dev.userLock.lock();
        const err = yield* walk(dev, range);
        dev.userLock.unlock();
        return err;
      };
      yield* c.mm.munmap(FIRST + 1, 1);
      yield* c.dev.access(FIRST, null);
    },
  ],
  [
    'S10',
    'the end is called after a start that was refused',
    function* (c) {
      const range = {
        event: 'UNMAP',
        startPage: FIRST,
        endPage: FIRST + 1,
        owner: null,
        blockable: false,
      } as const;
      yield* c.dev.userLock.lock();
      const other = c.machine.spawn(refuse(c, range), 'oom_reaper');
      while (!other.ended) yield { kind: 'sleep', ns: 1 };
      c.dev.userLock.unlock();
      yield* mmuNotifierInvalidateRangeEnd(c.mm, range);
    },
  ],
  [
    'S17',
    'a migration is finalized twice',
    function* (c) {
      const { finalize } = c.dev.ops;
      c.dev.ops.finalize = function* (args) {
        yield* finalize(args);
        yield* finalize(args);
      };
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
    },
  ],
  [
    'S12',
    'one page is given for two slots',
    function* (c) {
      const { commit } = c.dev.ops;
      c.dev.ops.commit = function* (args) {
        args.dst.pfn[1] = args.dst.pfn[0]!;
        yield* commit(args);
      };
      yield* migrateToDevice(c.dev, FIRST, FIRST + 2);
    },
  ],
  [
    'S2',
    'a migration leaves a reference behind',
    function* (c) {
      const { finalize } = c.dev.ops;
      c.dev.ops.finalize = function* (args) {
        yield* finalize(args);
        c.folios.get(args.dst.pfn[0]!);
      };
      yield* migrateToDevice(c.dev, FIRST, FIRST + 1);
      yield* evict(c.dev);
    },
  ],
];

function* refuse(c: MmContext, range: Parameters<typeof mmuNotifierInvalidateRangeStart>[1]): Task<void> {
  yield* mmuNotifierInvalidateRangeStart(c.mm, range);
}

function mapByDevice({ machine, dev }: MmContext, pfn: number): void {
  const { sub } = dev;
  const seq = sub.invalidateSeq;
  machine.trace.point(DEVICE_MAP_TRACE).emit({
    device: dev.name,
    sub,
    seq,
    page: FIRST,
    pfn,
    write: false,
    cpuWrite: false,
    check: 'read-retry',
  });
}

function mapForDma({ machine, dev, mm }: MmContext, flags: number, iommu: boolean): void {
  const about = { device: dev.name, sub: dev.sub, page: FIRST, pfn: mm.pfnAt(FIRST) };
  machine.trace.point(DMA_PFN_TRACE).emit({ phase: 'map', ...about, flags, iommu, mmio: false });
}
