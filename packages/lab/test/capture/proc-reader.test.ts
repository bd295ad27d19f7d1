import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PageFlag, type PageRuns } from '../../src/capture/capture.ts';
import { CaptureError } from '../../src/capture/capture-error.ts';
import { decodeCapture, encodeCapture } from '../../src/capture/capture-file.ts';
import { readProcess } from '../../src/capture/proc-reader.ts';
import { FAKE_PID, FakeProc, Kpf, Pm } from './fake-proc.ts';

const { ANON, PMD_MAPPED, SHARED, SWAPPED, ZERO } = PageFlag;
const ANON_PAGE = Pm.PRESENT | Pm.EXCLUSIVE;
const FILE_PAGE = Pm.PRESENT | Pm.FILE;

let proc: FakeProc;
beforeEach(() => {
  proc = new FakeProc();
});
afterEach(() => proc.remove());

const read = (options = {}) => readProcess(FAKE_PID, { procRoot: proc.root, ...options });

/** Rows of [startPage, pageCount, pfn, order, flags]. */
function rows({ startPage, pageCount, pfn, order, flags }: PageRuns): (number | undefined)[][] {
  return [...startPage.keys()].map((i) => [startPage[i], pageCount[i], pfn[i], order[i], flags[i]]);
}

test('present, shared, file, swapped and zero pages become runs, and guard regions become holes', () => {
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 24, swap: 8 });
  proc.pages(0x100, 3, ANON_PAGE | 1000n, 1n);
  proc.pages(0x103, 1, ANON_PAGE | 2000n);
  proc.pages(0x104, 1, Pm.PRESENT | 2001n);
  proc.pages(0x110, 2, Pm.SWAP | 77n);
  proc.pages(0x112, 1, Pm.SWAP | Pm.GUARD);
  proc.pages(0x120, 2, Pm.PRESENT | 5n);
  proc.pages(0x130, 1, FILE_PAGE | 3000n);
  for (const pfn of [1000, 1001, 1002, 2000, 2001, 3000]) proc.folio(pfn, 0);
  proc.folio(5, 0, Kpf.ZERO);
  const { capture, summary, warnings } = read();
  expect(rows(capture.runs)).toEqual([
    [0x100, 3, 1000, 0, ANON],
    [0x103, 1, 2000, 0, ANON],
    [0x104, 1, 2001, 0, ANON | SHARED],
    [0x110, 2, 0, 0, SWAPPED],
    [0x120, 1, 5, 0, ANON | SHARED | ZERO],
    [0x121, 1, 5, 0, ANON | SHARED | ZERO],
    [0x130, 1, 3000, 0, SHARED],
  ]);
  expect(summary).toMatchObject({ pages: 8, swappedPages: 2, runs: 6, vmas: 1, holes: 3, orders: [8] });
  expect(warnings).toEqual([]);
  expect(capture).toMatchObject({ physical: 'captured', info: { kernel: '6.18.1' }, ramPages: 2_000_000 });
  expect(decodeCapture(encodeCapture(capture), 'x')).toEqual(capture);
});

test('a folio is found whole when only its middle is mapped, and two adjacent folios are told apart', () => {
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 28 });
  proc.folio(1024, 4);
  proc.folio(1040, 2);
  proc.pages(0x103, 3, ANON_PAGE | 1029n, 1n);
  proc.pages(0x110, 4, ANON_PAGE | 1040n, 1n);
  expect(rows(read().capture.runs)).toEqual([
    [0x103, 3, 1029, 4, ANON],
    [0x110, 4, 1040, 2, ANON],
  ]);
});

test('a folio that changes while it is read is taken as single pages and told of', () => {
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 4 });
  proc.folio(1024, 4);
  proc.folio(1030, 0);
  proc.pages(0x100, 1, ANON_PAGE | 1025n);
  const { capture, warnings } = read();
  expect(rows(capture.runs)).toEqual([[0x100, 1, 1025, 0, ANON]]);
  expect(warnings).toEqual([expect.stringContaining('1 folios changed')]);
});

test('as many PMD mappings are marked as smaps counts, and a partly unmapped huge folio is none', () => {
  proc.vma(0x200, 0xa00, 'rw-p 00000000 00:00 0 ', { rss: 6140, anonHuge: 2048 });
  for (const pfn of [1024, 2048, 4096]) proc.folio(pfn, 9, Kpf.THP);
  proc.pages(0x200, 511, ANON_PAGE | 1024n, 1n);
  proc.pages(0x400, 512, ANON_PAGE | 2048n, 1n);
  proc.pages(0x600, 512, ANON_PAGE | 4096n, 1n);
  expect(rows(read().capture.runs)).toEqual([
    [0x200, 511, 1024, 9, ANON],
    [0x400, 512, 2048, 9, ANON | PMD_MAPPED],
    [0x600, 512, 4096, 9, ANON],
  ]);
});

test('hugetlb pages are PMD-mapped though Rss does not count them', () => {
  const counts = { hugetlb: 4096, kernelPage: 2048, vmFlags: 'rd wr ht' };
  proc.vma(0x10, 0x20, 'r--p 00000000 00:00 0 ');
  proc.vma(0x200, 0x600, 'rw-s 00000000 00:0f 99   /dev/hugepages/x', counts);
  proc.folio(1024, 9);
  proc.folio(4096, 9);
  proc.pages(0x200, 512, FILE_PAGE | Pm.EXCLUSIVE | 1024n, 1n);
  proc.pages(0x400, 512, FILE_PAGE | Pm.EXCLUSIVE | 4096n, 1n);
  const { capture } = read();
  expect(capture.vmas[1]).toMatchObject({ hugetlb: true, shared: true, kind: 'file' });
  expect(rows(capture.runs)).toEqual([
    [0x200, 512, 1024, 9, PMD_MAPPED],
    [0x400, 512, 4096, 9, PMD_MAPPED],
  ]);
});

test('where the kernel hides page frames they are modelled from the seed and the PMD mappings of smaps kept', () => {
  proc.vma(0x200, 0x800, 'rw-p 00000000 00:00 0 ', { rss: 2100, anonHuge: 2048 });
  proc.pages(0x200, 512, ANON_PAGE);
  proc.pages(0x500, 13, ANON_PAGE | Pm.SOFT_DIRTY);
  const { capture, warnings, summary } = read({ seed: 9 });
  expect(capture).toMatchObject({ physical: 'modelled', seed: 9 });
  expect(summary).toMatchObject({ pages: 525, pmdMappedPages: 512 });
  expect(rows(capture.runs)[0]).toEqual([0x200, 512, expect.any(Number), 9, ANON | PMD_MAPPED]);
  expect(warnings).toEqual([expect.stringContaining('CAP_SYS_ADMIN')]);
  expect(read({ seed: 9 }).capture).toEqual(capture);
  expect(read({ seed: 8 }).capture.runs.pfn).not.toEqual(capture.runs.pfn);
  expect(decodeCapture(encodeCapture(capture), 'x')).toEqual(capture);
});

test('without kpageflags the frames are modelled, since folio orders cannot be seen', () => {
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 4 });
  proc.pages(0x100, 1, ANON_PAGE | 1000n);
  rmSync(join(proc.root, 'kpageflags'));
  expect(read().capture.physical).toBe('modelled');
});

test('a reservation of a terabyte costs no reading, and a large VMA is left when all it counts was met', () => {
  proc.vma(0x1000, 0x1000 + 2 ** 28, '---p 00000000 00:00 0 ');
  proc.vma(2 ** 29, 2 ** 29 + 2 ** 28, 'rw-p 00000000 00:00 0 ', { rss: 8 });
  proc.pages(2 ** 29 + 5, 2, ANON_PAGE | 1000n, 1n);
  const { capture, bytesRead } = read();
  expect(rows(capture.runs)).toEqual([[2 ** 29 + 5, 2, 1000, 0, ANON]]);
  expect(bytesRead).toBeLessThan(2 ** 20);
});

test('device mappings and vsyscall are kept as VMAs without pages, and names are dropped unless kept', () => {
  proc.vma(0x100, 0x110, 'rw-p 00000000 00:00 0                          [heap]', { rss: 4 });
  proc.pages(0x100, 1, ANON_PAGE | 1000n);
  proc.vma(0x200, 0x210, 'rw-s 00000000 00:05 7                          /dev/fb0', {
    vmFlags: 'rd wr io pf',
  });
  proc.pages(0x200, 16, FILE_PAGE | 9000n, 1n);
  proc.vma(0x300, 0x301, 'r--p 00000000 00:00 0                          [vvar]', { vmFlags: 'rd io pf' });
  const plain = read().capture;
  expect(plain.vmas.map(({ kind, io }) => [kind, io])).toEqual([
    ['heap', false],
    ['file', true],
    ['special', true],
  ]);
  expect(plain.runs.startPage.length).toBe(1);
  expect(JSON.stringify(plain.vmas)).not.toContain('fb0');
  const named = read({ keepNames: true }).capture;
  expect(named.vmas.map(({ name }) => name)).toEqual(['[heap]', '/dev/fb0', '[vvar]']);
  expect(named.info).toMatchObject({ command: 'worker', kernel: '6.18.1-vendor-9' });
});

test('each way in which a process cannot be read is one sentence', () => {
  const message = (pid: number): string => {
    try {
      readProcess(pid, { procRoot: proc.root });
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      return error.message;
    }
    return 'read';
  };
  expect(message(7)).toContain('process 7 does not exist; check the pid.');
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 4 });
  proc.pagemapEnd(0x180);
  expect(message(FAKE_PID)).toContain('process 42 exited while it was read; capture it again.');
  rmSync(join(proc.root, `${FAKE_PID}/pagemap`));
  expect(message(FAKE_PID)).toContain('CONFIG_PROC_PAGE_MONITOR');
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 4 });
  expect(() => readProcess(-1)).toThrow(RangeError);
});

test('a kernel with larger pages is refused', () => {
  proc.vma(0x100, 0x200, 'rw-p 00000000 00:00 0 ', { rss: 64, kernelPage: 64 });
  expect(() => read()).toThrow(/this kernel has pages of 65536 bytes/);
});

test.runIf(process.platform === 'linux')('this very process can be captured on Linux', () => {
  const { capture, summary } = readProcess(process.pid);
  expect(summary.pages).toBeGreaterThan(1000);
  expect(capture.vmas.some(({ kind }) => kind === 'stack')).toBe(true);
  expect(capture.vmas.some(({ name }) => name !== undefined)).toBe(false);
  expect(decodeCapture(encodeCapture(capture), 'x')).toEqual(capture);
});

test.runIf(process.platform !== 'linux')('off Linux the reader says that captures need procfs', () => {
  expect(() => readProcess(process.pid)).toThrow(/captures need Linux procfs/);
});
