import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeMissing } from '../missing.mjs';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gpusvm-missing-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('QEMU and kernels that are missing are named; a build that did not end is missing too', () => {
  const env = { XDG_CACHE_HOME: folder, PATH: join(folder, 'bin') };
  expect(describeMissing(env)).toBe(
    'Missing: qemu-system-x86_64 is not on the PATH, kernel 7.3 is not built, kernel 6.12 is not built.',
  );
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin', 'qemu-system-x86_64'), '');
  for (const name of ['7.3-aa', '6.12-bb'])
    mkdirSync(join(folder, 'gpusvm', 'kernels', name), { recursive: true });
  writeFileSync(join(folder, 'gpusvm', 'kernels', '7.3-aa', 'complete'), '');
  expect(describeMissing(env)).toBe('Missing: kernel 6.12 is not built.');
  writeFileSync(join(folder, 'gpusvm', 'kernels', '6.12-bb', 'complete'), '');
  expect(describeMissing(env)).toBe('QEMU and the kernels are there.');
});
