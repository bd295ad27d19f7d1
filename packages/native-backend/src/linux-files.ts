import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import type { Errno } from '@gpusvm/kernel';
import type { SysFiles } from './sys.ts';

/** @internal Turn what `node:fs` throws into a negated errno. */
export function attempt<T>(fn: () => T): T | Errno {
  try {
    return fn();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (typeof errno === 'number') return errno;
    throw error;
  }
}

/** The files of this machine. Needs no addon. */
export class LinuxFiles implements SysFiles {
  readText(path: string): string | Errno {
    return attempt(() => readFileSync(path, 'utf8'));
  }

  writeText(path: string, text: string): Errno {
    // Files of sysfs may be write-only, and none is to be made.
    const fd = attempt(() => openSync(path, constants.O_WRONLY));
    if (fd < 0) return fd;
    const written = attempt(() => writeSync(fd, text));
    closeSync(fd);
    return written < 0 ? written : 0;
  }

  list(path: string): readonly string[] | Errno {
    return attempt(() => readdirSync(path).sort());
  }

  readLink(path: string): string | Errno {
    return attempt(() => readlinkSync(path));
  }

  access(path: string): Errno {
    return attempt(() => (accessSync(path, constants.R_OK | constants.W_OK), 0));
  }
}
