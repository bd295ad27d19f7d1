import { EBUSY, EFAULT, ENOMEM, EPERM, type Errno, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmPfns,
  type HmmRange,
  MmuIntervalNotifier,
  hmmPfnToMapOrder,
  hmmRangeFault,
  hmmRangeFaultUnlockedTimeout,
  mmuIntervalNotifierInsert,
  mmuIntervalReadBegin,
  mmuIntervalSetSeq,
} from '../src/index.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, MEASURED, NONE, RO, RW, THP, World } from './support/world.ts';

const P = block(8);
const READ = HMM_PFN_VALID;
const WRITE = HMM_PFN_VALID | HMM_PFN_WRITE;

class Reader extends World {
  readonly sub = new MmuIntervalNotifier();

  *open(): Task<void> {
    yield* mmuIntervalNotifierInsert(this.sub, this.mm, 0, 2 ** 44, {
      // biome-ignore lint: nothing to wait for
      *invalidate(sub, _range, seq) {
        mmuIntervalSetSeq(sub, seq);
        return true;
      },
    });
  }

  *range(page: number, pages: number, want: number, owner: object | null = null): Task<HmmRange> {
    return {
      notifier: this.sub,
      notifierSeq: yield* mmuIntervalReadBegin(this.sub),
      startPage: page,
      endPage: page + pages,
      pfns: new HmmPfns(pages),
      defaultFlags: want,
      pfnFlagsMask: 0,
      devPrivateOwner: owner,
    };
  }

  /** One call, no retry. */
  *once(range: HmmRange): Task<Errno> {
    return yield* this.locked(() => hmmRangeFault(this.mm, range));
  }

  /** Fault with retries; [errno, results of each page as `flags` without the order]. */
  *fault(page: number, pages: number, want: number, owner: object | null = null): Task<[Errno, string]> {
    for (;;) {
      const range = yield* this.range(page, pages, want, owner);
      const err = yield* this.once(range);
      if (err === -EBUSY) continue;
      return [err, Array.from(range.pfns.flags, word).join(' ')];
    }
  }
}

function word(flags: number): string {
  if ((flags & HMM_PFN_ERROR) !== 0) return 'E';
  if ((flags & HMM_PFN_VALID) === 0) return '-';
  return ((flags & HMM_PFN_WRITE) !== 0 ? 'W' : 'R') + (hmmPfnToMapOrder(flags) === 9 ? '9' : '');
}

function check(body: (w: Reader) => Task<void>, profile: KernelProfileName = 'linux-7.3'): void {
  const w = new Reader({ profile });
  w.run(
    (function* () {
      yield* w.open();
      yield* body(w);
    })(),
  );
}

describe('decision table, single pages', () => {
  test('no VMA: -EFAULT when wanted, else ERROR', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 1);
      yield* w.map(P + 2, 1, RW, 1);
      expect(yield* w.fault(P, 3, 0)).toEqual([0, 'W E W']);
      expect((yield* w.fault(P, 3, READ))[0]).toBe(-EFAULT);
      expect((yield* w.fault(block(50), 1, READ))[0]).toBe(-EFAULT);
      expect(yield* w.fault(block(50), 2, 0)).toEqual([0, 'E E']);
    });
  });

  test('I/O memory and PROT_NONE: -EFAULT when wanted, else ERROR for their part', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 1);
      yield* w.map(P + 1, 1, { ...RW, io: true });
      yield* w.map(P + 2, 1, NONE);
      yield* w.map(P + 3, 1, RW, 1);
      expect(yield* w.fault(P, 4, 0)).toEqual([0, 'W E E W']);
      expect((yield* w.fault(P + 1, 1, READ))[0]).toBe(-EFAULT);
      expect((yield* w.fault(P + 2, 1, READ))[0]).toBe(-EFAULT);
    });
  });

  test('none: faulted when wanted, else empty', () => {
    check(function* (w) {
      yield* w.map(P, 2, RW);
      yield* w.map(P + 8, 2, RO);
      expect(yield* w.fault(P, 2, 0)).toEqual([0, '- -']);
      expect(w.mm.entryKind(P)).toBe('none');
      expect(yield* w.fault(P, 2, READ)).toEqual([0, 'R R']);
      expect(w.mm.entryKind(P)).toBe('zero');
      expect(yield* w.fault(P, 2, WRITE)).toEqual([0, 'W W']);
      expect((yield* w.fault(P + 8, 2, WRITE))[0]).toBe(-EPERM);
      expect(w.mm.entryKind(P + 8)).toBe('none');
    });
  });

  test('present: as it is; read-only is faulted for a write', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 1);
      w.mm.pageTable.nodeOf(P)!.bits[0]! &= ~0x10;
      const pfn = w.mm.pfnAt(P);
      expect(yield* w.fault(P, 1, READ)).toEqual([0, 'R']);
      expect(yield* w.fault(P, 1, WRITE)).toEqual([0, 'W']);
      expect(w.mm.pfnAt(P)).toBe(pfn);
    });
  });

  test('PROT_NONE entries report the page without VALID while the VMA is readable again', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 1);
      yield* w.map(P + 512, 512, THP, 1);
      w.mm.pageTable.nodeOf(P)!.bits[0]! |= 0x80;
      w.mm.pageTable.nodeOf(P + 512)!.huge |= 0x80;
      const range = yield* w.range(P, 1, 0);
      expect(yield* w.once(range)).toBe(0);
      expect([range.pfns.flags[0], range.pfns.pfn[0]]).toEqual([0, w.mm.pfnAt(P)]);
      const huge = yield* w.range(P + 512, 512, 0);
      expect(yield* w.once(huge)).toBe(0);
      expect([huge.pfns.flags[3], huge.pfns.pfn[3]]).toEqual([0, w.mm.pfnAt(P + 515)]);
      expect(yield* w.fault(P, 1, READ)).toEqual([0, 'W']);
      expect((yield* w.fault(P + 512, 1, READ))[1]).toBe('W9');
    });
  });

  test('zero page: valid and read-only, faulted for a write only', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW);
      yield* w.mm.cpuRead(P);
      expect(yield* w.fault(P, 1, READ)).toEqual([0, 'R']);
      expect(w.mm.entryKind(P)).toBe('zero');
      expect(yield* w.fault(P, 1, WRITE)).toEqual([0, 'W']);
    });
  });

  test('own device-private page: never faults, even read-only with a write wanted', () => {
    check(function* (w) {
      const dev = new Dmirror(w.mm);
      yield* dev.open();
      yield* w.map(P, 2, RW, 1);
      expect(yield* dev.toDev(P, 2)).toBe(0);
      yield* w.mm.mprotect(P + 1, 1, RO);
      yield* w.mm.mprotect(P + 1, 1, RW);
      expect(yield* w.fault(P, 2, WRITE, dev.device)).toEqual([0, 'W R']);
      expect(w.mm.devicePages).toBe(2);
    });
  });

  test('device-private page of another owner: empty, or back to RAM when wanted', () => {
    check(function* (w) {
      const dev = new Dmirror(w.mm);
      yield* dev.open();
      yield* w.map(P, 2, RW, 7);
      expect(yield* dev.toDev(P, 2)).toBe(0);
      expect(yield* w.fault(P, 2, 0)).toEqual([0, '- -']);
      expect(w.mm.devicePages).toBe(2);
      expect(yield* w.fault(P, 2, READ)).toEqual([0, 'W W']);
      expect(w.mm.devicePages).toBe(0);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(8);
    });
  });

  test('migration entry: empty for a snapshot', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 7);
      const node = w.mm.pageTable.nodeOf(P)!;
      const bits = node.bits[0]!;
      node.bits[0] = (bits & 0xf0) | 4;
      expect(yield* w.fault(P, 1, 0)).toEqual([0, '-']);
      node.bits[0] = bits;
    });
  });
});

describe('decision table, 2 MiB', () => {
  test.each(MEASURED)('a THP reports order 9 for any part of it (%s)', (profile) => {
    check(function* (w) {
      yield* w.map(P, 512, THP, 1);
      const range = yield* w.range(P + 100, 50, READ);
      expect(yield* w.once(range)).toBe(0);
      expect(word(range.pfns.flags[0]!)).toBe('W9');
      expect(range.pfns.pfn[49]).toBe(w.mm.pfnAt(P) + 149);
    }, profile);
  });

  test('the huge zero page is read-only with order 9 and becomes a folio for a write', () => {
    check(function* (w) {
      yield* w.map(P, 512, THP);
      yield* w.mm.cpuRead(P);
      expect((yield* w.fault(P, 2, READ))[1]).toBe('R9 R9');
      expect((yield* w.fault(P, 2, WRITE))[1]).toBe('W9 W9');
      expect(w.mm.entryKind(P)).toBe('present');
    });
  });

  test('a THP mapped by page-table entries reports order 0', () => {
    check(function* (w) {
      yield* w.map(P, 512, THP, 1);
      yield* w.mm.munmap(P + 511, 1);
      expect((yield* w.fault(P, 3, READ))[1]).toBe('W W W');
      expect(w.folios.order(w.mm.pfnAt(P))).toBe(9);
    });
  });

  test('own device THP reports order 9; that of another owner is ERROR for a snapshot', () => {
    check(function* (w) {
      const dev = new Dmirror(w.mm);
      yield* dev.open();
      yield* w.map(P, 512, THP, 1);
      expect(yield* dev.toDev(P, 512)).toBe(0);
      expect((yield* w.fault(P + 5, 2, READ, dev.device))[1]).toBe('W9 W9');
      expect((yield* w.fault(P + 5, 2, 0))[1]).toBe('E E');
      expect((yield* w.fault(P + 5, 2, READ))[1]).toBe('W9 W9');
      expect(w.mm.devicePages).toBe(0);
    });
  });

  test('hugetlb sets the order even where nothing is mapped', () => {
    check(function* (w) {
      yield* w.map(P, 512, { ...RW, hugetlb: true });
      const range = yield* w.range(P, 2, 0);
      expect(yield* w.once(range)).toBe(0);
      expect([range.pfns.flags[1]! & 7, hmmPfnToMapOrder(range.pfns.flags[1]!)]).toEqual([0, 9]);
      expect((yield* w.fault(P, 2, WRITE))[1]).toBe('W9 W9');
    });
  });
});

describe('requests, faults and retries', () => {
  test('a fault covers everything from the first page that needs it to the end of the PMD part', () => {
    check(function* (w) {
      yield* w.map(P + 500, 24, RW);
      // A page table exists; of an empty PMD the whole part would be faulted.
      yield* w.mm.cpuRead(P + 511);
      const range = { ...(yield* w.range(P + 500, 20, 0)), pfnFlagsMask: 3 };
      range.pfns.flags[2] = READ;
      range.pfns.flags[12] = 0;
      expect(yield* w.once(range)).toBe(0);
      expect(Array.from(range.pfns.flags, word).join('')).toBe(`--RRRRRRRRRR${'-'.repeat(8)}`);
    });
  });

  test('request bits count through the mask only, and sticky bits survive', () => {
    check(function* (w) {
      yield* w.map(P, 4, RW);
      yield* w.mm.cpuRead(P + 3);
      const range = yield* w.range(P, 3, 0);
      range.pfns.flags.fill(WRITE | HMM_PFN_DMA_MAPPED);
      expect(yield* w.once(range)).toBe(0);
      expect(Array.from(range.pfns.flags)).toEqual([8, 8, 8]);
      const masked = { ...range, pfnFlagsMask: 3 };
      range.pfns.flags[2] = WRITE | HMM_PFN_DMA_MAPPED;
      expect(yield* w.once(masked)).toBe(0);
      expect(Array.from(range.pfns.flags)).toEqual([8, 8, WRITE | 8]);
    });
  });

  test('a stale sequence is -EBUSY before anything is touched', () => {
    check(function* (w) {
      yield* w.map(P, 3, RW);
      const range = yield* w.range(P, 3, READ);
      yield* w.mm.madviseDontneed(P, 1);
      expect(yield* w.once(range)).toBe(-EBUSY);
      expect(w.mm.entryKind(P)).toBe('none');
    });
  });

  test('a write fault on a zero page invalidates the range itself: -EBUSY, then success', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW);
      yield* w.mm.cpuRead(P);
      const range = yield* w.range(P, 1, WRITE);
      expect(yield* w.once(range)).toBe(-EBUSY);
      expect(w.mm.entryKind(P)).toBe('present');
      expect(w.folios.counters.get('retry')).toBe(1);
      expect((yield* w.fault(P, 1, WRITE))[1]).toBe('W');
    });
  });

  test('no memory is -ENOMEM at the k-th page, and the pages before stay', () => {
    for (let k = 1; k <= 8; k++) {
      check(function* (w) {
        yield* w.map(P, 8, RW);
        w.machine.faultInjection.failNth('hmm.alloc_folio', k);
        expect((yield* w.fault(P, 8, WRITE))[0]).toBe(-ENOMEM);
        expect(w.mm.residentPages).toBe(k - 1);
        yield* w.mm.munmap(P, 8);
        expect(w.memory.freePages).toBe(8191);
      });
    }
  });

  test('the unlocked variant takes the lock, retries by itself and gives up in time', () => {
    check(function* (w) {
      yield* w.map(P, 2, RW);
      yield* w.mm.cpuRead(P);
      const range = yield* w.range(P, 2, WRITE);
      range.notifierSeq = -1;
      expect(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 0)).toBe(0);
      expect(Array.from(range.pfns.flags, word)).toEqual(['W', 'W']);
      expect(w.mm.mmapLock.heldByMe).toBe(false);
      w.mm.mmgrab();
      yield* w.mm.exit();
      expect(yield* hmmRangeFaultUnlockedTimeout(w.mm, range, 0)).toBe(-EFAULT);
    });
  });
});
