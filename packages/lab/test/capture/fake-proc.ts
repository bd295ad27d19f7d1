import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { endianness, tmpdir } from 'node:os';
import { join } from 'node:path';

/** The process in a {@link FakeProc}. */
export const FAKE_PID = 42;

/** Bits 55 to 63 of a pagemap entry. */
export const Pm = {
  SOFT_DIRTY: 2n ** 55n,
  EXCLUSIVE: 2n ** 56n,
  GUARD: 2n ** 58n,
  FILE: 2n ** 61n,
  SWAP: 2n ** 62n,
  PRESENT: 2n ** 63n,
} as const;

/** Bits of a kpageflags entry. */
export const Kpf = {
  ANON: 2n ** 12n,
  HEAD: 2n ** 15n,
  TAIL: 2n ** 16n,
  THP: 2n ** 22n,
  ZERO: 2n ** 24n,
} as const;

/** Counters (kB) of one VMA in smaps, with its VmFlags. */
export interface FakeVmaCounts {
  readonly rss?: number;
  readonly swap?: number;
  readonly anonHuge?: number;
  readonly hugetlb?: number;
  readonly kernelPage?: number;
  readonly vmFlags?: string;
}

function word(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  if (endianness() === 'LE') bytes.writeBigUInt64LE(value);
  else bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A procfs in a temporary directory with one process; its tables are sparse files, as large as they need to be. */
export class FakeProc {
  readonly root: string = mkdtempSync(join(tmpdir(), 'gpusvm-proc-'));
  readonly #pagemap: number;
  readonly #kpageflags: number;
  #smaps = '';

  constructor() {
    mkdirSync(join(this.root, `${FAKE_PID}`));
    mkdirSync(join(this.root, 'sys/kernel'), { recursive: true });
    writeFileSync(join(this.root, 'sys/kernel/osrelease'), '6.18.1-vendor-9\n');
    writeFileSync(join(this.root, 'meminfo'), 'MemTotal:        8000000 kB\nMemFree: 1 kB\n');
    writeFileSync(join(this.root, `${FAKE_PID}/comm`), 'worker\n');
    this.#pagemap = openSync(join(this.root, `${FAKE_PID}/pagemap`), 'w');
    this.#kpageflags = openSync(join(this.root, 'kpageflags'), 'w');
  }

  /** Adds a VMA, and pagemap up to its end. */
  vma(startPage: number, endPage: number, line: string, counts: FakeVmaCounts = {}): void {
    const range = `${(startPage * 4096).toString(16)}-${(endPage * 4096).toString(16)}`;
    this.#smaps += `${range} ${line}\nSize: 0 kB\nKernelPageSize: ${counts.kernelPage ?? 4} kB\n`;
    this.#smaps += `Rss:      ${counts.rss ?? 0} kB\nAnonHugePages:   ${counts.anonHuge ?? 0} kB\n`;
    this.#smaps += `Private_Hugetlb: ${counts.hugetlb ?? 0} kB\nSwap:    ${counts.swap ?? 0} kB\nTHPeligible:  0\n`;
    this.#smaps += `VmFlags: ${counts.vmFlags ?? 'rd wr mr'}\n`;
    writeFileSync(join(this.root, `${FAKE_PID}/smaps`), this.#smaps);
    this.pagemapEnd(endPage);
  }

  /** Sets where pagemap ends. */
  pagemapEnd(page: number): void {
    ftruncateSync(this.#pagemap, page * 8);
  }

  /** Fills `count` pagemap entries; each next one has `step` more. */
  pages(page: number, count: number, entry: bigint, step: bigint = 0n): void {
    const words = Array.from({ length: count }, (_, i) => word(entry + BigInt(i) * step));
    writeSync(this.#pagemap, Buffer.concat(words), 0, count * 8, page * 8);
  }

  /** Makes a folio of `2^order` pages in kpageflags. */
  folio(pfn: number, order: number, flags: bigint = Kpf.ANON): void {
    const words = Array.from({ length: 2 ** order }, (_, i) =>
      word(flags | (order === 0 ? 0n : i === 0 ? Kpf.HEAD : Kpf.TAIL)),
    );
    writeSync(this.#kpageflags, Buffer.concat(words), 0, words.length * 8, pfn * 8);
  }

  /** Deletes the tree. */
  remove(): void {
    closeSync(this.#pagemap);
    closeSync(this.#kpageflags);
    rmSync(this.root, { recursive: true });
  }
}
