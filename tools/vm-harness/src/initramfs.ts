import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markUsed } from './cache-age.ts';
import { cacheSubfolder } from './cache-folder.ts';
import { contentKey } from './content-key.ts';
import { type CpioEntry, cpioArchive } from './cpio.ts';
import { harnessFile } from './harness-file.ts';

/** From Debian's busybox-static: one program, no libraries. */
const BUSYBOX = '/bin/busybox';
const FOLDERS: readonly string[] = ['bin', 'dev', 'host', 'proc', 'sys', 'tmp', 'whole'];
/** What the init script and the commands of guests without the host's root use. */
const APPLETS: readonly string[] = [
  'cat',
  'chroot',
  'cut',
  'dd',
  'dmesg',
  'echo',
  'grep',
  'insmod',
  'ls',
  'mkdir',
  'mount',
  'poweroff',
  'rmmod',
  'sed',
  'seq',
  'sh',
  'sleep',
  'sync',
  'tail',
  'test',
  'true',
  'false',
];

/** Path of the initial file system of every guest, made when it is not in the cache. */
export function initramfs(): string {
  if (!existsSync(BUSYBOX)) throw new Error(`${BUSYBOX} is missing: install the package busybox-static`);
  const busybox = readFileSync(BUSYBOX);
  const init = readFileSync(harnessFile('guest', 'init'));
  const archive = cpioArchive([
    ...FOLDERS.map((path): CpioEntry => ({ path, mode: 0o755 })),
    { path: 'init', mode: 0o755, content: init },
    { path: 'bin/busybox', mode: 0o755, content: busybox },
    ...APPLETS.map((name): CpioEntry => ({ path: `bin/${name}`, mode: 0o777, link: 'busybox' })),
  ]);
  const key = contentKey({ archive: archive.toString('latin1') });
  const path = join(cacheSubfolder('initramfs'), `${key}.cpio`);
  if (!markUsed(path)) {
    writeFileSync(`${path}.${process.pid}`, archive);
    renameSync(`${path}.${process.pid}`, path);
  }
  return path;
}
