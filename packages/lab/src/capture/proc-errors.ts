import { existsSync } from 'node:fs';
import { CAPTURE_PAGE_SIZE_BYTES } from './capture.ts';
import { CaptureError, type CaptureErrorPlace } from './capture-error.ts';
import type { SmapsVma } from './smaps.ts';

/**
 * @param pid - process id
 * @param place - what the error is about
 * @returns the error of a process that is gone before it was read to the end
 */
export function exited(pid: number, place: CaptureErrorPlace): CaptureError {
  return new CaptureError(place, `process ${pid} exited while it was read`, 'capture it again');
}

/**
 * Turns an error of reading procfs into one that tells the user what to do.
 *
 * @param error - whatever was thrown
 * @param pid - process id
 * @param place - the directory of the process
 * @param started - whether its memory map was read already, so that it did exist
 * @returns a CaptureError, or the error itself when procfs has no part in it
 */
export function explain(error: unknown, pid: number, place: CaptureErrorPlace, started: boolean): unknown {
  const { code, path = 'procfs' } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') {
    return new CaptureError(
      place,
      `reading ${path} is not permitted (${code})`,
      'run as the owner of the process or as root, and see kernel.yama.ptrace_scope',
    );
  }
  if (code === 'ENOENT' && path.endsWith('/pagemap') && existsSync(place.file)) {
    return new CaptureError(place, `${path} does not exist`, 'use a kernel with CONFIG_PROC_PAGE_MONITOR');
  }
  if (code !== 'ENOENT' && code !== 'ESRCH') return error;
  return started
    ? exited(pid, place)
    : new CaptureError(place, `process ${pid} does not exist`, 'check the pid');
}

/**
 * Refuses a process that a capture cannot describe.
 *
 * @param pid - process id
 * @param place - what the error is about
 * @param entries - its VMAs
 * @throws CaptureError when it has no VMA, or pages of another size
 */
export function checkEntries(pid: number, place: CaptureErrorPlace, entries: readonly SmapsVma[]): void {
  const [first] = entries;
  if (first === undefined) {
    throw new CaptureError(
      place,
      `process ${pid} has no user memory`,
      'give a process that is no kernel thread or zombie',
    );
  }
  const pageBytes = Math.min(...entries.map((entry) => entry.kernelPageBytes));
  if (pageBytes !== CAPTURE_PAGE_SIZE_BYTES) {
    throw new CaptureError(
      place,
      `this kernel has pages of ${pageBytes} bytes`,
      'capture on a kernel with 4096-byte pages',
    );
  }
}
