import { EFAULT, EPERM, type Errno, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  changeProtNuma,
  HMM_PFN_ERROR,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmPfns,
  hmmPfnToMapOrder,
  hmmRangeFault,
  memoryFailure,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalSetSeq,
  Userfaultfd,
} from '../src/index.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, exitAll, forked, MEASURED, NONE, RO, RW, THP, World } from './support/world.ts';

const P = block(8);
const SNAPSHOT = 0;
const READ = HMM_PFN_VALID;
const WRITE = HMM_PFN_VALID | HMM_PFN_WRITE;

interface Rig {
  readonly w: World;
  readonly dev: Dmirror;
  readonly other: Dmirror;
}

/** A row: how the CPU state comes about, and what each request gives for the page at P. */
interface Row {
  readonly state: string;
  readonly make: (r: Rig) => Task<void>;
  readonly snapshot: string;
  readonly read: string;
  readonly write: string;
  /** Only where device memory is mapped by PMDs. */
  readonly pmd?: boolean;
  /** Pages lost for good. */
  readonly lost?: number;
}

function* written(r: Rig, pages = 1): Task<void> {
  yield* r.w.map(P, pages, RW, 10);
}

function* thp(r: Rig): Task<void> {
  yield* r.w.map(P, 512, THP, 10);
}

function* readOnly(r: Rig, pages: number): Task<void> {
  yield* r.w.mm.mprotect(P, pages, RO);
}

const ROWS: readonly Row[] = [
  { state: 'no VMA', make: function* () {}, snapshot: 'ERROR', read: 'EFAULT', write: 'EFAULT' },
  {
    state: 'PROT_NONE',
    make: function* (r) {
      yield* r.w.map(P, 1, NONE);
    },
    snapshot: 'ERROR',
    read: 'EFAULT',
    write: 'EFAULT',
  },
  {
    state: 'I/O memory',
    make: function* (r) {
      yield* r.w.map(P, 1, { ...RW, io: true });
    },
    snapshot: 'ERROR',
    read: 'EFAULT',
    write: 'EFAULT',
  },
  {
    state: 'none, RW VMA',
    make: function* (r) {
      yield* r.w.map(P, 1, RW);
    },
    snapshot: '-',
    read: 'R',
    write: 'W',
  },
  {
    state: 'none, RO VMA',
    make: function* (r) {
      yield* r.w.map(P, 1, RO);
    },
    snapshot: '-',
    read: 'R',
    write: 'EPERM',
  },
  {
    state: 'uffd-wp marker',
    make: function* (r) {
      yield* r.w.map(P, 1, RW);
      const fd = new Userfaultfd(r.w.mm);
      yield* fd.register(P, 1);
      yield* fd.writeProtect(P);
      yield* fd.register(P, 1, false);
    },
    snapshot: '-',
    read: 'R',
    write: 'W',
  },
  { state: 'present writable', make: (r) => written(r), snapshot: 'W', read: 'W', write: 'W' },
  {
    state: 'present, read-only VMA',
    make: function* (r) {
      yield* written(r);
      yield* readOnly(r, 1);
    },
    snapshot: 'R',
    read: 'R',
    write: 'EPERM',
  },
  {
    state: 'present, shared by fork',
    make: function* (r) {
      yield* written(r);
      yield* forked(r.w.mm);
    },
    snapshot: 'R',
    read: 'R',
    write: 'W',
  },
  {
    state: 'protnone',
    make: function* (r) {
      yield* written(r);
      yield* changeProtNuma(r.w.mm, P, P + 1);
    },
    snapshot: '- with pfn',
    read: 'W',
    write: 'W',
  },
  {
    state: 'zero page',
    make: function* (r) {
      yield* r.w.map(P, 1, RW);
      yield* r.w.mm.cpuRead(P);
    },
    snapshot: 'R',
    read: 'R',
    write: 'W',
  },
  {
    state: 'swap',
    make: function* (r) {
      yield* written(r);
      yield* r.w.mm.madvisePageout(P, 1);
    },
    snapshot: '-',
    read: 'W',
    write: 'W',
  },
  {
    state: 'own device-private, writable',
    make: function* (r) {
      yield* written(r);
      yield* r.dev.toDev(P, 1);
    },
    snapshot: 'W',
    read: 'W',
    write: 'W',
  },
  {
    state: 'own device-private, read-only (F1)',
    make: function* (r) {
      yield* written(r);
      yield* r.dev.toDev(P, 1);
      yield* readOnly(r, 1);
      yield* r.w.mm.mprotect(P, 1, RW);
    },
    snapshot: 'R',
    read: 'R',
    write: 'R',
  },
  {
    state: 'device-private of another owner',
    make: function* (r) {
      yield* written(r);
      yield* r.other.toDev(P, 1);
    },
    snapshot: '-',
    read: 'W',
    write: 'W',
  },
  {
    state: 'device-exclusive',
    make: function* (r) {
      yield* written(r);
      yield* r.dev.file.exclusive(P, 1);
    },
    snapshot: '-',
    read: 'W',
    write: 'W',
  },
  {
    state: 'hwpoison',
    make: function* (r) {
      yield* written(r);
      yield* memoryFailure(r.w.folios, r.w.mm.pfnAt(P));
    },
    snapshot: '-',
    read: 'EFAULT',
    write: 'EFAULT',
    lost: 1,
  },
  {
    state: 'poison marker',
    make: function* (r) {
      yield* r.w.map(P, 1, RW);
      const fd = new Userfaultfd(r.w.mm);
      yield* fd.register(P, 1);
      yield* fd.poison(P);
      yield* fd.register(P, 1, false);
    },
    snapshot: '-',
    read: 'EFAULT',
    write: 'EFAULT',
  },
  { state: 'PMD present', make: thp, snapshot: 'W9', read: 'W9', write: 'W9' },
  {
    state: 'PMD present, read-only VMA',
    make: function* (r) {
      yield* thp(r);
      yield* readOnly(r, 512);
    },
    snapshot: 'R9',
    read: 'R9',
    write: 'EPERM',
  },
  {
    state: 'PMD shared by fork',
    make: function* (r) {
      yield* thp(r);
      yield* forked(r.w.mm);
    },
    snapshot: 'R9',
    read: 'R9',
    write: 'W',
  },
  {
    state: 'PMD protnone',
    make: function* (r) {
      yield* thp(r);
      yield* changeProtNuma(r.w.mm, P, P + 512);
    },
    snapshot: '- with pfn',
    read: 'W9',
    write: 'W9',
  },
  {
    state: 'huge zero',
    make: function* (r) {
      yield* r.w.map(P, 512, THP);
      yield* r.w.mm.cpuRead(P);
    },
    snapshot: 'R9',
    read: 'R9',
    // 6.12 splits the huge zero page and gives one page.
    write: 'W9 or W',
  },
  {
    state: 'PMD own device-private',
    make: function* (r) {
      yield* thp(r);
      yield* r.dev.toDev(P, 512);
    },
    snapshot: 'W9',
    read: 'W9',
    write: 'W9',
    pmd: true,
  },
  {
    state: 'PMD own device-private, read-only (F1)',
    make: function* (r) {
      yield* thp(r);
      yield* r.dev.toDev(P, 512);
      yield* readOnly(r, 512);
      yield* r.w.mm.mprotect(P, 512, RW);
    },
    snapshot: 'R9',
    read: 'R9',
    write: 'R9',
    pmd: true,
  },
  {
    state: 'PMD device-private of another owner',
    make: function* (r) {
      yield* thp(r);
      yield* r.other.toDev(P, 512);
    },
    snapshot: 'ERROR',
    read: 'W9',
    write: 'W9',
    pmd: true,
  },
  {
    state: 'hugetlb, nothing there',
    make: function* (r) {
      yield* r.w.map(P, 512, { ...RW, hugetlb: true });
    },
    snapshot: '-9',
    read: 'W9',
    write: 'W9',
  },
  {
    state: 'hugetlb, present',
    make: function* (r) {
      yield* r.w.map(P, 512, { ...RW, hugetlb: true }, 5);
    },
    snapshot: 'W9',
    read: 'W9',
    write: 'W9',
  },
];

/** One result in short: access and order 9, `-` for not valid, an errno by name. */
function word(err: Errno, pfns: HmmPfns): string {
  if (err === -EFAULT) return 'EFAULT';
  if (err === -EPERM) return 'EPERM';
  expect(err).toBe(0);
  const flags = pfns.flags[0]!;
  if ((flags & HMM_PFN_ERROR) !== 0) return 'ERROR';
  const order = hmmPfnToMapOrder(flags) === 9 ? '9' : '';
  if ((flags & HMM_PFN_VALID) === 0) return pfns.pfn[0]! >= 0 ? '- with pfn' : `-${order}`;
  return ((flags & HMM_PFN_WRITE) !== 0 ? 'W' : 'R') + order;
}

describe.each(MEASURED)('the decision table of hmm_range_fault on %s', (profile) => {
  const rows = ROWS.filter((row) => row.pmd !== true || profile === 'linux-7.3');
  const requests = [
    ['snapshot', SNAPSHOT],
    ['read', READ],
    ['write', WRITE],
  ] as const;
  const cases = rows.flatMap((row) =>
    requests.map(([name, want]) => ({ row, name, want, title: row.state })),
  );

  test.each(cases)('$title: $name', ({ row, name, want }) => {
    const w = new World({ profile });
    w.folios.swap.on(16);
    const rig = { w, dev: new Dmirror(w.mm), other: new Dmirror(w.mm) };
    const sub = new MmuIntervalNotifier();
    const pfns = new HmmPfns(1);
    w.run(
      (function* () {
        yield* rig.dev.open();
        yield* rig.other.open();
        yield* mmuIntervalNotifierInsert(sub, w.mm, P, 1, {
          *invalidate(self, _range, seq) {
            mmuIntervalSetSeq(self, seq);
            return true;
          },
        });
        yield* row.make(rig);
        let err: Errno;
        do {
          const range = {
            notifier: sub,
            notifierSeq: yield* mmuIntervalReadBegin(sub),
            startPage: P,
            endPage: P + 1,
            pfns,
            defaultFlags: want,
            pfnFlagsMask: 0,
            devPrivateOwner: rig.dev.device,
          };
          yield* w.mm.mmapLock.downRead();
          err = yield* hmmRangeFault(w.mm, range);
          w.mm.mmapLock.upRead();
        } while (err === -16);
        expect(row[name].split(' or ')).toContain(word(err, pfns));
        yield* mmuIntervalNotifierRemove(sub);
        yield* rig.dev.close();
        yield* rig.other.close();
        yield* exitAll(w.folios);
      })(),
    );
    expect(w.live()).toEqual(row.lost === undefined ? [] : [`physical page: ${row.lost}`]);
  });
});
