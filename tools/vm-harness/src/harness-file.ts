import { fileURLToPath } from 'node:url';

/** Path of a file of this package: the same from its sources and from its build. */
export function harnessFile(...names: readonly string[]): string {
  return fileURLToPath(new URL(['..', ...names].join('/'), import.meta.url));
}
