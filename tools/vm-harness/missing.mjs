// Plain JavaScript: `npm test` asks before anything is built.
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const KERNELS = ['7.3', '6.12'];

/** The folder of built kernels: the same rule as src/cache-folder.ts. */
function kernelFolder(env) {
  const base = env.XDG_CACHE_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'gpusvm', 'kernels');
}

/** One sentence about what the tests in guests lack on this machine. */
export function describeMissing(env = process.env) {
  const folder = kernelFolder(env);
  const built = existsSync(folder) ? readdirSync(folder) : [];
  const missing = KERNELS.filter(
    (version) =>
      !built.some((name) => name.startsWith(`${version}-`) && existsSync(join(folder, name, 'complete'))),
  ).map((version) => `kernel ${version} is not built`);
  const hasQemu = (env.PATH ?? '')
    .split(delimiter)
    .some((dir) => dir && existsSync(join(dir, 'qemu-system-x86_64')));
  if (!hasQemu) missing.unshift('qemu-system-x86_64 is not on the PATH');
  return missing.length === 0 ? 'QEMU and the kernels are there.' : `Missing: ${missing.join(', ')}.`;
}
