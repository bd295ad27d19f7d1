import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withLock } from '../src/file-lock.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gpusvm-lock-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('jobs under one lock do not overlap, and the lock is gone afterwards, also after a failure', async () => {
  const path = join(folder, 'lock');
  const log: string[] = [];
  const job = (name: string) => async () => {
    log.push(`${name} starts`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    log.push(`${name} ends`);
  };
  await Promise.all([withLock(path, job('a')), withLock(path, job('b'))]);
  expect(log).toEqual(['a starts', 'a ends', 'b starts', 'b ends']);
  await expect(withLock(path, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(existsSync(path)).toBe(false);
});

test('a lock of a process that is gone is taken over', async () => {
  const path = join(folder, 'stale');
  writeFileSync(path, '999999999');
  await expect(withLock(path, () => Promise.resolve('done'))).resolves.toBe('done');
});
