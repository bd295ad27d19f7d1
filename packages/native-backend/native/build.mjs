// Compiles the addon with the system's C compiler: no node-gyp, no Python.
//   node native/build.mjs
// GPUSVM_ADDON: 'compiled' demands it, 'none' forgoes it; otherwise it is compiled where there is a compiler.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const SOURCES = ['addon.c', 'calls.c', 'memory.c'];
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-fvisibility=hidden'];

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// The folder and file name are those that node-gyp-build looks for.
const outDir = here(`../prebuilds/linux-${process.arch}`);
const outFile = `${outDir}/@gpusvm+native-backend.node`;

const wanted = process.env.GPUSVM_ADDON;

if (process.platform !== 'linux') {
  process.stdout.write(`native addon: not built, because this is ${process.platform}\n`);
} else if (wanted === 'none') {
  process.stdout.write('native addon: not built, because there is no C compiler named cc\n');
} else {
  const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');
  mkdirSync(outDir, { recursive: true });
  // Compiled beside and renamed: a process that has the old file loaded keeps it.
  const temporary = `${outFile}.${process.pid}`;
  const args = [...FLAGS, `-I${headers}`, ...SOURCES.map(here), '-o', temporary];
  const result = spawnSync('cc', args, { stdio: 'inherit' });
  // The rest of the package works without the addon.
  if (result.error?.code === 'ENOENT' && wanted !== 'compiled') {
    process.stdout.write('native addon: not built, because there is no C compiler named cc\n');
  } else if (result.error || result.status !== 0) {
    throw new Error(`cc failed: ${result.error?.message ?? `exit code ${result.status}`}`);
  } else {
    renameSync(temporary, outFile);
  }
}
