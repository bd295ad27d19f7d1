import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { type Capture, CAPTURE_PAGE_SIZE_BYTES, type PageRuns } from './capture.ts';
import { CaptureError } from './capture-error.ts';
import { type CaptureTotals, captureTotals } from './capture-totals.ts';
import { FolioMap } from './folio-map.ts';
import { observedRuns } from './observed-runs.ts';
import { PageRunsBuilder } from './page-runs.ts';
import { isPresent, PagemapHigh, WORD_HIGH, WORD_LOW } from './pagemap-entry.ts';
import { modelPhysical } from './physical-model.ts';
import { checkEntries, exited, explain } from './proc-errors.ts';
import { type ProcInfo, readProcInfo } from './proc-info.ts';
import { parseSmaps, type SmapsVma } from './smaps.ts';
import { VmaScan } from './vma-scan.ts';

/** How {@link readProcess} reads. */
export interface ReadProcessOptions {
  /** Where procfs is; `/proc` unless told, which needs Linux. */
  readonly procRoot?: string;
  /** Keep VMA names, the command name and the full kernel release; left out unless told. */
  readonly keepNames?: boolean;
  /** Seed (u32) of the physical model when the kernel hides pfns; 1 unless told. */
  readonly seed?: number;
  /** Sentence stored in the capture. */
  readonly note?: string;
  /** Time stored in the capture; none unless told. */
  readonly capturedAt?: string;
}

/** What {@link readProcess} read. */
export interface ProcessReading {
  readonly capture: Capture;
  /** Totals for a summary line. */
  readonly summary: CaptureTotals;
  /** Sentences about what could not be seen; empty when everything was. */
  readonly warnings: readonly string[];
  /** Bytes read from pagemap and kpageflags. */
  readonly bytesRead: number;
}

const HIDDEN =
  'the kernel hides page frames without CAP_SYS_ADMIN, so page frames and folio orders are modelled from the seed';

/**
 * Captures the memory layout of a live process from `/proc/PID/smaps`, `/proc/PID/pagemap` and `/proc/kpageflags`.
 *
 * @param pid - process id
 * @param options - see {@link ReadProcessOptions}
 * @returns the capture with its totals
 * @throws CaptureError when the process does not exist, exits meanwhile or may not be read, or off Linux
 *
 * @remarks
 * The process is not stopped, so the capture is not atomic: a page that moves while it is read can be missing or be
 * seen twice. The cost of address space is told at {@link VmaScan.scan}; a populated page costs 1 to 5 µs.
 */
export function readProcess(pid: number, options: ReadProcessOptions = {}): ProcessReading {
  const { procRoot = '/proc', keepNames = false, seed = 1 } = options;
  const place = { file: `${procRoot}/${pid}` };
  if (procRoot === '/proc' && process.platform !== 'linux') {
    throw new CaptureError(
      place,
      `captures need Linux procfs, and this is ${process.platform}`,
      'run it on Linux',
    );
  }
  if (!Number.isSafeInteger(pid) || pid < 1) throw new RangeError(`pid ${pid} is not a process id`);
  const closers: (() => void)[] = [];
  const open = (file: string): number => {
    const fd = openSync(`${procRoot}/${file}`, 'r');
    closers.push(() => closeSync(fd));
    return fd;
  };
  let started = false;
  try {
    const entries = parseSmaps(readFileSync(`${procRoot}/${pid}/smaps`, 'utf8'), keepNames);
    started = true;
    checkEntries(pid, place, entries);
    const pagemapFd = open(`${pid}/pagemap`);
    const folios = openFolios(pagemapFd, entries, open);
    const builder = new PageRunsBuilder();
    const scan = new VmaScan({ pagemapFd, folios, builder });
    for (const entry of entries) if (!scan.scan(entry)) throw exited(pid, place);
    const info = readProcInfo(procRoot, pid, options);
    const capture = makeCapture(entries, builder.finish(), folios === undefined ? seed : undefined, info);
    return {
      capture,
      summary: captureTotals(capture),
      warnings: warningsOf(folios),
      bytesRead: scan.bytesRead + (folios?.bytesRead ?? 0),
    };
  } catch (error) {
    throw explain(error, pid, place, started);
  } finally {
    for (const close of closers) close();
  }
}

/**
 * Pfns are hidden by zeroing them, with no error. A present page with pfn 0 tells: pfn 0 is never user memory. The
 * first resident pages of the process are probed.
 */
function pfnsVisible(pagemapFd: number, entries: readonly SmapsVma[]): boolean {
  const words = new Uint32Array(1024);
  for (const { vma, residentPages } of entries) {
    if (residentPages === 0 || vma.io) continue;
    const pages = Math.min(words.length / 2, vma.endPage - vma.startPage);
    const read = readSync(pagemapFd, words, 0, pages * 8, vma.startPage * 8) / 8;
    for (let i = 0; i < read; i++) {
      const high = words[i * 2 + WORD_HIGH] ?? 0;
      if (isPresent(high)) return (high & PagemapHigh.PFN) !== 0 || (words[i * 2 + WORD_LOW] ?? 0) !== 0;
    }
  }
  return false;
}

/** @returns undefined when pfns or page flags are hidden: one without the other gives no folio orders */
function openFolios(
  pagemapFd: number,
  entries: readonly SmapsVma[],
  open: (file: string) => number,
): FolioMap | undefined {
  if (!pfnsVisible(pagemapFd, entries)) return undefined;
  try {
    return new FolioMap(open('kpageflags'));
  } catch {
    return undefined;
  }
}

function makeCapture(
  entries: readonly SmapsVma[],
  runs: PageRuns,
  seed: number | undefined,
  { info, ramPages }: ProcInfo,
): Capture {
  const vmas = entries.map((entry) => entry.vma);
  const common = {
    version: 1,
    pageSize: CAPTURE_PAGE_SIZE_BYTES,
    info,
    vmas,
    ...(ramPages === undefined ? {} : { ramPages }),
  } as const;
  if (seed === undefined) return { ...common, physical: 'captured', runs };
  const modelled = modelPhysical(vmas, observedRuns(vmas, runs), seed, ramPages);
  return { ...common, physical: 'modelled', seed, runs: modelled };
}

function warningsOf(folios: FolioMap | undefined): readonly string[] {
  if (folios === undefined) return [HIDDEN];
  if (folios.inconsistent === 0) return [];
  return [`${folios.inconsistent} folios changed while they were read and are taken as single pages`];
}
