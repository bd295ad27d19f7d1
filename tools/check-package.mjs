// Packs the package in the current directory as a release would and checks the tarball with publint and attw.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../node_modules/.bin/', import.meta.url));
const outDir = mkdtempSync(join(tmpdir(), 'gpusvm-pack-'));

function run(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status === 0) return;
  console.error(`${command} ${args.join(' ')}\n${result.error?.message ?? result.stdout + result.stderr}`);
  throw new Error(`${command} failed`);
}

try {
  // Only pnpm resolves workspace: and catalog: in the manifest that is packed.
  run('pnpm', ['pack', '--pack-destination', outDir]);
  const tarball = join(outDir, readdirSync(outDir)[0]);
  run(join(bin, 'publint'), ['run', tarball, '--strict']);
  run(join(bin, 'attw'), [tarball, '--profile', 'esm-only', '--no-color', '--no-emoji']);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(outDir, { recursive: true, force: true });
}
