import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { markUsed, pruneCache } from '../src/cache-age.ts';

let root = '';
const OLD = new Date(Date.now() - 15 * 86_400_000);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gpusvm-cache-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** An entry of the cache that was last used long ago. */
function old(...names: readonly string[]): string {
  const path = join(root, ...names);
  mkdirSync(dirname(path), { recursive: true });
  if (names[0] === 'kernels' || names[0] === 'modules') {
    mkdirSync(path);
    writeFileSync(join(path, 'bzImage'), 'image');
  } else writeFileSync(path, 'file');
  utimesSync(path, OLD, OLD);
  return path;
}

test('what nothing has used for two weeks is deleted, files and folders', async () => {
  const all = [
    old('kernels', '7.3-aa'),
    old('modules', 'bb'),
    old('programs', 'cc'),
    old('initramfs', 'dd.cpio'),
  ];
  expect(await pruneCache(root)).toEqual(all);
  expect(all.filter((path) => existsSync(path))).toEqual([]);
  // Its locks are gone too.
  expect(readdirSync(join(root, 'kernels'))).toEqual([]);
});

test('what was used a day ago stays, whatever its age', async () => {
  const kernel = old('kernels', '7.3-aa');
  expect([markUsed(kernel), markUsed(`${kernel}-absent`)]).toEqual([true, false]);
  expect(await pruneCache(root, Date.now() + 13 * 86_400_000)).toEqual([]);
  expect(existsSync(join(kernel, 'bzImage'))).toBe(true);
  expect(await pruneCache(root, Date.now() + 15 * 86_400_000)).toEqual([kernel]);
});

test('an entry whose lock a living process holds stays, and so does its lock', async () => {
  const kernel = old('kernels', '7.3-aa');
  writeFileSync(`${kernel}.lock`, String(process.pid));
  utimesSync(`${kernel}.lock`, OLD, OLD);
  expect(await pruneCache(root)).toEqual([]);
  expect(readdirSync(join(root, 'kernels'))).toEqual(['7.3-aa', '7.3-aa.lock']);
});

test('the package lists of apt and a cache that is not there are left alone', async () => {
  old('apt', 'sources.list');
  expect(await pruneCache(root)).toEqual([]);
  expect(await pruneCache(join(root, 'absent'))).toEqual([]);
  expect(existsSync(join(root, 'apt', 'sources.list'))).toBe(true);
});
