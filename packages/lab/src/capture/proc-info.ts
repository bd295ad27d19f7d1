import { readFileSync } from 'node:fs';
import type { CaptureInfo } from './capture.ts';
import { CaptureLimit } from './capture-check.ts';
import type { ReadProcessOptions } from './proc-reader.ts';

/** What describes a capture beside its pages. */
export interface ProcInfo {
  readonly info: CaptureInfo;
  /** MemTotal in pages. */
  readonly ramPages?: number;
}

/**
 * Reads what describes the machine and the process; what cannot be read is left out.
 *
 * @param procRoot - where procfs is
 * @param pid - process id
 * @param options - `keepNames` keeps the command and the full kernel release; `note` and `capturedAt` are passed on
 * @returns the description
 */
export function readProcInfo(
  procRoot: string,
  pid: number,
  { keepNames = false, note, capturedAt }: ReadProcessOptions,
): ProcInfo {
  const release = readText(`${procRoot}/sys/kernel/osrelease`);
  // The local suffix of a release can name the machine's maker.
  const kernel = keepNames ? release : /^\d+(\.\d+)*(-rc\d+)?/.exec(release ?? '')?.[0];
  const command = keepNames ? readText(`${procRoot}/${pid}/comm`) : undefined;
  const memTotalKb = /^MemTotal: +(\d+) kB/m.exec(readText(`${procRoot}/meminfo`) ?? '')?.[1];
  const info: CaptureInfo = {
    ...(kernel === undefined ? {} : { kernel }),
    ...(command === undefined ? {} : { command }),
    ...(note === undefined ? {} : { note }),
    ...(capturedAt === undefined ? {} : { capturedAt }),
  };
  return memTotalKb === undefined ? { info } : { info, ramPages: Math.floor(Number(memTotalKb) / 4) };
}

/** @returns the text, cut to what a capture can hold, or undefined */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
      .trimEnd()
      .slice(0, CaptureLimit.TEXT_BYTES / 4);
  } catch {
    return undefined;
  }
}
