import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { markUsed } from '../cache-age.ts';
import { cacheSubfolder } from '../cache-folder.ts';
import { contentKey } from '../content-key.ts';
import { withLock } from '../file-lock.ts';
import { harnessFile } from '../harness-file.ts';
import type { BuiltKernel } from '../kernel-build.ts';
import { runCommand } from '../run-command.ts';

const MODULE = 'gpusvm_oracle.ko';

/**
 * Path of the oracle module for a kernel: from the cache, or built against what is left of the kernel's tree (some
 * seconds). Its key is the kernel's and the module's sources.
 */
export async function buildOracle(kernel: BuiltKernel): Promise<string> {
  const sources = readdirSync(harnessFile('oracle')).filter((name) => /\.[ch]$|^Makefile$/.test(name));
  const texts = sources.map((name) => [name, readFileSync(harnessFile('oracle', name), 'utf8')] as const);
  const key = contentKey({ ...Object.fromEntries(texts), kernel: kernel.key });
  const cache = cacheSubfolder('modules');
  const module = join(cache, key, MODULE);
  return withLock(join(cache, `${key}.lock`), async () => {
    if (existsSync(module)) {
      markUsed(join(cache, key));
      return module;
    }
    const folder = join(cache, `${key}.build`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const name of sources) cpSync(harnessFile('oracle', name), join(folder, name));
    await runCommand('make', ['-s', '-C', kernel.source, `O=${kernel.tree}`, `M=${folder}`, 'modules']);
    mkdirSync(join(cache, key), { recursive: true });
    renameSync(join(folder, MODULE), module);
    rmSync(folder, { recursive: true });
    return module;
  });
}
