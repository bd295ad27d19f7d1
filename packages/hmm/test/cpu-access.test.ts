import { EEXIST, EFAULT, EINVAL, ENOMEM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { block, MEASURED, NONE, RO, RW, THP, World } from './support/world.ts';

const P = block(8);

function check(body: (w: World) => Task<void>, profile: KernelProfileName = 'linux-7.3'): void {
  const w = new World({ profile });
  w.run(body(w));
  expect(audit(w.folios)).toEqual([]);
  w.run(w.mm.exit());
  expect(w.machine.ledger.live()).toEqual([]);
}

describe('anonymous memory', () => {
  test('reads zeros without a page of its own, and gets one at the first write', () => {
    check(function* (w) {
      yield* w.map(P, 2, RW);
      expect(yield* w.mm.cpuRead(P)).toBe(0);
      expect(w.mm.entryKind(P)).toBe('zero');
      expect(w.mm.residentPages).toBe(0);
      expect(yield* w.mm.cpuWrite(P, 5)).toBe(0);
      expect(yield* w.mm.cpuRead(P)).toBe(5);
      expect(w.mm.residentPages).toBe(1);
      expect(w.mm.entryKind(P + 1)).toBe('none');
    });
  });

  test('is -EFAULT outside of a VMA, against its protection, and in I/O memory', () => {
    check(function* (w) {
      yield* w.map(P, 1, RO);
      yield* w.map(P + 1, 1, NONE);
      yield* w.map(P + 2, 1, { ...RW, io: true });
      expect(yield* w.mm.cpuRead(P - 1)).toBe(-EFAULT);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(-EFAULT);
      expect(yield* w.mm.cpuRead(P)).toBe(0);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(-EFAULT);
      expect(yield* w.mm.cpuRead(P + 2)).toBe(-EFAULT);
    });
  });

  test('is -ENOMEM when no page can be had, and works afterwards', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW);
      for (const site of ['hmm.pte_table', 'hmm.alloc_folio', 'memory.alloc_pages']) {
        w.machine.faultInjection.failNth(site, 1);
        expect(yield* w.mm.cpuWrite(P, 1)).toBe(-ENOMEM);
        expect(w.mm.entryKind(P)).toBe('none');
      }
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(0);
    });
  });

  test('becomes writable again with mprotect, in the same page', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 9);
      const pfn = w.mm.pfnAt(P);
      yield* w.mm.mprotect(P, 1, RO);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(-EFAULT);
      yield* w.mm.mprotect(P, 1, RW);
      expect(w.mm.isWritable(P)).toBe(true);
      expect(yield* w.mm.cpuWrite(P, 10)).toBe(0);
      expect(w.mm.pfnAt(P)).toBe(pfn);
    });
  });

  test('PROT_NONE takes access away and mprotect gives it back with the contents', () => {
    check(function* (w) {
      yield* w.map(P, 1, RW, 9);
      yield* w.mm.mprotect(P, 1, NONE);
      expect(yield* w.mm.cpuRead(P)).toBe(-EFAULT);
      yield* w.mm.mprotect(P, 1, RW);
      expect(yield* w.mm.cpuRead(P)).toBe(9);
    });
  });
});

describe('huge pages', () => {
  test('an aligned empty 2 MiB of a MADV_HUGEPAGE VMA gets one folio', () => {
    check(function* (w) {
      yield* w.map(P - 10, 1034, THP);
      yield* w.mm.cpuWrite(P + 5, 1);
      yield* w.mm.cpuWrite(P - 1, 1);
      expect([w.mm.isPmdMapped(P + 500), w.mm.isPmdMapped(P - 1)]).toEqual([true, false]);
      expect(w.folios.order(w.mm.pfnAt(P))).toBe(9);
      expect(w.folios.mapcount(w.mm.pfnAt(P))).toBe(1);
      expect(w.folios.counters.get('cpuFaultThp')).toBe(1);
    });
  });

  test('without memory for a large folio there are single pages', () => {
    check(function* (w) {
      yield* w.map(P, 512, THP);
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      yield* w.mm.cpuWrite(P + 5, 1);
      expect(w.mm.isPmdMapped(P)).toBe(false);
      expect(w.mm.residentPages).toBe(1);
    });
  });

  test.each(MEASURED)('the huge zero page is read, then written to (%s)', (profile) => {
    check(function* (w) {
      yield* w.map(P, 512, THP);
      expect(yield* w.mm.cpuRead(P)).toBe(0);
      expect([w.mm.entryKind(P), w.mm.isPmdMapped(P)]).toEqual(['zero', true]);
      yield* w.mm.cpuWrite(P + 1, 4);
      expect(yield* w.mm.cpuRead(P + 1)).toBe(4);
      expect(yield* w.mm.cpuRead(P + 2)).toBe(0);
      expect(w.mm.isPmdMapped(P)).toBe(profile === 'linux-7.3');
    }, profile);
  });

  test('a partial munmap splits the mapping and keeps the folio until its last page goes', () => {
    check(function* (w) {
      yield* w.map(P, 512, THP, 1);
      const head = w.mm.pfnAt(P);
      yield* w.mm.munmap(P, 100);
      expect([w.folios.order(head), w.folios.mapcount(head), w.folios.refcount(head)]).toEqual([9, 412, 412]);
      const free = w.memory.freePages;
      yield* w.mm.munmap(P + 100, 412);
      expect(w.memory.freePages).toBe(free + 512);
    });
  });

  test('hugetlb gives 2 MiB or -EFAULT and unmaps whole pages only', () => {
    check(function* (w) {
      expect(yield* w.mm.mmap(P + 1, 512, { ...RW, hugetlb: true })).toBe(-EINVAL);
      yield* w.map(P, 1024, { ...RW, hugetlb: true });
      w.machine.faultInjection.failNth('hmm.alloc_folio', 1);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(-EFAULT);
      expect(yield* w.mm.cpuWrite(P, 1)).toBe(0);
      expect(yield* w.mm.munmap(P, 100)).toBe(-EINVAL);
      expect(yield* w.mm.munmap(P, 512)).toBe(0);
    });
  });
});

describe('files and shared memory', () => {
  test('a file page has a content that depends on file and offset only', () => {
    check(function* (w) {
      const file = { ...RW, file: true, shared: true, fileKey: 'a' };
      yield* w.map(P, 4, file);
      yield* w.map(P + 8, 4, { ...file, fileOffsetPage: 2 });
      const tag = yield* w.mm.cpuRead(P + 2);
      expect(tag).toBeGreaterThan(0);
      expect(yield* w.mm.cpuRead(P + 8)).toBe(tag);
      expect(w.mm.pfnAt(P + 8)).toBe(w.mm.pfnAt(P + 2));
      yield* w.mm.cpuWrite(P + 2, 77);
      expect(yield* w.mm.cpuRead(P + 8)).toBe(77);
    });
  });

  test('a private write copies, before or after a read, and leaves the file alone', () => {
    check(function* (w) {
      const key = { file: true, fileKey: 'a' };
      yield* w.map(P, 2, { ...RW, ...key });
      yield* w.map(P + 8, 2, { ...RW, ...key, shared: true });
      const tag = yield* w.mm.cpuRead(P);
      yield* w.mm.cpuWrite(P, 5);
      yield* w.mm.cpuWrite(P + 1, 6);
      expect([yield* w.mm.cpuRead(P), yield* w.mm.cpuRead(P + 8)]).toEqual([5, tag]);
      expect(yield* w.mm.cpuRead(P + 9)).toBe(tag + 1);
      expect(w.folios.isAnon(w.mm.pfnAt(P))).toBe(true);
      yield* w.mm.madviseDontneed(P, 2);
      expect(yield* w.mm.cpuRead(P)).toBe(tag);
    });
  });

  test('shared anonymous memory is zero at first and survives DONTNEED', () => {
    check(function* (w) {
      yield* w.map(P, 2, { ...RW, shared: true });
      expect(yield* w.mm.cpuRead(P)).toBe(0);
      yield* w.mm.cpuWrite(P, 3);
      yield* w.mm.madviseDontneed(P, 2);
      expect(yield* w.mm.cpuRead(P)).toBe(3);
    });
  });
});

describe('mappings', () => {
  test('mmap refuses what overlaps or makes no sense', () => {
    check(function* (w) {
      yield* w.map(P, 4, RW);
      expect(yield* w.mm.mmap(P + 3, 4, RW)).toBe(-EEXIST);
      expect(yield* w.mm.mmap(P + 4, 0, RW)).toBe(-EINVAL);
      expect(yield* w.mm.mmap(2 ** 44, 1, RW)).toBe(-ENOMEM);
      expect(w.mm.vmas.size).toBe(1);
    });
  });

  test('munmap and mprotect split VMAs; undoing the protection merges them, separate mmaps stay separate', () => {
    check(function* (w) {
      yield* w.map(P, 10, RW, 1);
      yield* w.map(P + 10, 2, RW);
      yield* w.mm.mprotect(P + 2, 3, RO);
      expect(w.mm.vmas.all().map((v) => [v.startPage - P, v.endPage - P, v.write])).toEqual([
        [0, 2, true],
        [2, 5, false],
        [5, 10, true],
        [10, 12, true],
      ]);
      yield* w.mm.mprotect(P, 10, RW);
      expect(w.mm.vmas.all().map((v) => [v.startPage - P, v.endPage - P])).toEqual([
        [0, 10],
        [10, 12],
      ]);
      yield* w.mm.munmap(P + 4, 2);
      expect([w.mm.findVma(P + 4)?.startPage, w.mm.vmaLookup(P + 4)]).toEqual([P + 6, null]);
      expect(w.mm.residentPages).toBe(8);
    });
  });

  test('calls over holes do what they can and say -ENOMEM', () => {
    check(function* (w) {
      yield* w.map(P, 2, RW, 1);
      yield* w.map(P + 4, 2, RW, 1);
      expect(yield* w.mm.mprotect(P, 6, RO)).toBe(-ENOMEM);
      expect([w.mm.vmaLookup(P)!.write, w.mm.vmaLookup(P + 4)!.write]).toEqual([false, true]);
      expect(yield* w.mm.madviseDontneed(P, 6)).toBe(-ENOMEM);
      expect(w.mm.residentPages).toBe(0);
      expect(yield* w.mm.munmap(P, 6)).toBe(0);
      expect(yield* w.mm.munmap(P, 0)).toBe(-EINVAL);
    });
  });

  test('MADV_HUGEPAGE changes what the next fault does', () => {
    check(function* (w) {
      yield* w.map(P, 1024, RW);
      expect(yield* w.mm.madviseHugepage(P, 512, true)).toBe(0);
      yield* w.mm.cpuWrite(P, 1);
      yield* w.mm.cpuWrite(P + 512, 1);
      expect([w.mm.isPmdMapped(P), w.mm.isPmdMapped(P + 512)]).toEqual([true, false]);
    });
  });

  test('a sparse terabyte costs what is populated', () => {
    check(function* (w) {
      yield* w.map(P, 2 ** 28, RW);
      for (let i = 0; i < 8; i++) yield* w.mm.cpuWrite(P + i * 2 ** 25 + 17, i + 1);
      expect(w.mm.pageTable.nodeCount).toBe(8);
      expect(w.mm.residentPages).toBe(8);
      expect(yield* w.mm.munmap(P, 2 ** 28)).toBe(0);
      expect(w.mm.pageTable.nodeCount).toBe(0);
    });
  });
});

describe('the end of a process', () => {
  test('the last user tears down, in a task of its own when it only puts', () => {
    const w = new World();
    w.run(w.map(P, 4, RW, 1));
    expect(w.mm.mmgetNotZero()).toBe(true);
    w.run(w.mm.exit());
    expect(w.live()).toEqual(['physical page: 4', 'folio: 4', 'mm: 1']);
    w.mm.mmput();
    w.machine.drain();
    expect(w.mm.mmgetNotZero()).toBe(false);
    expect(w.machine.ledger.live()).toEqual([]);
  });

  test('what is left is named by pfn, counts and owner', () => {
    const w = new World();
    w.run(w.map(P, 2, RW, 1));
    w.folios.pin(w.mm.pfnAt(P));
    const pfn = w.mm.pfnAt(P);
    w.run(w.mm.exit());
    const item = w.machine.ledger.live().find((i) => i.kind === 'folio')!;
    expect(item.count).toBe(1);
    expect(item.detail).toContain(`pfn ${pfn}..${pfn} (1 folios: order 0, refcount 1, mapcount 0, pins 1)`);
    w.folios.unpin(pfn);
    expect(w.machine.ledger.live()).toEqual([]);
  });
});
