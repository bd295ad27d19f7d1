import { CAPTURE_PAGE_SIZE_BYTES, type CaptureVma, type VmaKind } from './capture.ts';

/** A VMA with the counts of `/proc/PID/smaps` that say how much of it is worth reading. Pages are 4 KiB. */
export interface SmapsVma {
  readonly vma: CaptureVma;
  /** Pages that pagemap will show: Rss, Swap and hugetlb. The zero page is in none of them. */
  readonly residentPages: number;
  /** Pages mapped by PMD: AnonHugePages, ShmemPmdMapped and FilePmdMapped. */
  readonly pmdMappedPages: number;
  /** KernelPageSize in bytes; above 4096 only for hugetlb. */
  readonly kernelPageBytes: number;
}

/** Counters of smaps (kB) that are summed into {@link SmapsVma.residentPages}. */
const RESIDENT = new Set(['Rss', 'Swap', 'Shared_Hugetlb', 'Private_Hugetlb']);

/** Counters of smaps (kB) that are summed into {@link SmapsVma.pmdMappedPages}. */
const PMD_MAPPED = new Set(['AnonHugePages', 'ShmemPmdMapped', 'FilePmdMapped']);

const HEADER = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([sp]) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$/;
const COUNTER = /^(\w+): +(\d+) kB$/;

/**
 * Parses `/proc/PID/smaps` (Linux fs/proc/task_mmu.c, `show_smap`). O(length).
 *
 * @param text - the whole file
 * @param keepNames - whether paths and pseudo names go into the VMAs
 * @returns the VMAs in address order; lines that are not understood are passed over, since kernels add some
 */
export function parseSmaps(text: string, keepNames: boolean): readonly SmapsVma[] {
  const parsed: SmapsVma[] = [];
  let block: string[] = [];
  let header: RegExpExecArray | null = null;
  const flush = (): void => {
    if (header !== null) parsed.push(parseBlock(header, block, keepNames));
  };
  for (const line of text.split('\n')) {
    const match = HEADER.exec(line);
    if (match === null) {
      block.push(line);
      continue;
    }
    flush();
    header = match;
    block = [];
  }
  flush();
  return parsed;
}

function parseBlock(header: RegExpExecArray, lines: readonly string[], keepNames: boolean): SmapsVma {
  const [, start = '', end = '', read, write, exec, sharing, name = ''] = header;
  let residentKb = 0;
  let pmdMappedKb = 0;
  let kernelPageBytes = CAPTURE_PAGE_SIZE_BYTES;
  let vmFlags: ReadonlySet<string> = new Set();
  for (const line of lines) {
    if (line.startsWith('VmFlags:')) vmFlags = new Set(line.slice('VmFlags:'.length).trim().split(' '));
    const [, key = '', kb = '0'] = COUNTER.exec(line) ?? [];
    if (RESIDENT.has(key)) residentKb += Number(kb);
    if (PMD_MAPPED.has(key)) pmdMappedKb += Number(kb);
    if (key === 'KernelPageSize') kernelPageBytes = Number(kb) * 1024;
  }
  const vma: CaptureVma = {
    startPage: pageOf(start),
    endPage: pageOf(end),
    prot: { read: read === 'r', write: write === 'w', exec: exec === 'x' },
    shared: sharing === 's',
    kind: vmaKind(name),
    hugetlb: vmFlags.has('ht'),
    io: vmFlags.has('io') || vmFlags.has('pf') || name === '[vsyscall]',
    ...(keepNames && name !== '' ? { name } : {}),
  };
  return { vma, residentPages: residentKb / 4, pmdMappedPages: pmdMappedKb / 4, kernelPageBytes };
}

/** Cuts the page offset off as text: the address of vsyscall is above 2^53. */
function pageOf(address: string): number {
  return Number.parseInt(address.slice(0, -3) || '0', 16);
}

/**
 * @param name - last column of `/proc/PID/maps`
 * @returns what the mapping is for
 */
export function vmaKind(name: string): VmaKind {
  if (name === '[heap]') return 'heap';
  if (name.startsWith('[stack')) return 'stack';
  // Shared anonymous memory is a kernel-internal tmpfs file under one of these names.
  const anonymous = ['[anon', '/dev/zero', '/SYSV'].some((prefix) => name.startsWith(prefix));
  if (name === '' || anonymous) return 'anon';
  return name.startsWith('/') ? 'file' : 'special';
}
