import { expect, test } from 'vitest';
import { cpioArchive } from '../src/cpio.ts';

const archive = cpioArchive([
  { path: 'bin', mode: 0o755 },
  { path: 'bin/x', mode: 0o755, content: Buffer.from('abcde') },
  { path: 'bin/y', mode: 0o777, link: 'x' },
]);

/** Reads the archive back: path to mode and content. */
function read(data: Buffer): [string, string, string][] {
  const entries: [string, string, string][] = [];
  const align = (n: number): number => Math.ceil(n / 4) * 4;
  for (let at = 0; at < data.length; ) {
    const field = (i: number): number =>
      Number.parseInt(data.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16);
    const nameStart = at + 110;
    const name = data.toString('latin1', nameStart, nameStart + field(11) - 1);
    const start = align(nameStart + field(11));
    entries.push([name, field(1).toString(8), data.toString('latin1', start, start + field(6))]);
    at = align(start + field(6));
  }
  return entries;
}

test('folders, files and links come back with their type, mode and content', () => {
  expect(read(archive)).toEqual([
    ['bin', '40755', ''],
    ['bin/x', '100755', 'abcde'],
    ['bin/y', '120777', 'x'],
    ['TRAILER!!!', '0', ''],
  ]);
});

test('the archive is aligned and the same each time', () => {
  expect(archive.length % 4).toBe(0);
  expect(cpioArchive([{ path: 'bin', mode: 0o755 }])).toEqual(cpioArchive([{ path: 'bin', mode: 0o755 }]));
});
