import { existsSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.ts';
import { withFreeLock } from './file-lock.ts';

/** Folders of the cache whose entries have a key in their name; each entry is a file or a folder. */
const GROUPS: readonly string[] = ['kernels', 'modules', 'programs', 'initramfs'];
const UNUSED_DAYS = 14;
const DAY_MS = 86_400_000;

/**
 * Remember that an entry of the cache is in use: its modification time. Under its lock, where it has one.
 *
 * @returns false when there is no such entry.
 */
export function markUsed(path: string): boolean {
  const now = new Date();
  try {
    utimesSync(path, now, now);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Delete the entries that no run has used for two weeks: kernels of other versions and configurations, modules of other
 * sources, what interrupted builds left behind. An entry whose lock is held (`<entry>.lock`) is in use.
 *
 * @param root - of the cache.
 * @returns paths of what was deleted.
 */
export async function pruneCache(
  root: string = cacheFolder(),
  nowMs: number = Date.now(),
): Promise<string[]> {
  const deleted: string[] = [];
  const isOld = (path: string): boolean =>
    existsSync(path) && nowMs - statSync(path).mtimeMs > UNUSED_DAYS * DAY_MS;
  for (const group of GROUPS.map((name) => join(root, name)).filter((path) => existsSync(path))) {
    for (const name of readdirSync(group).filter((entry) => !entry.endsWith('.lock'))) {
      const path = join(group, name);
      if (!isOld(path)) continue;
      await withFreeLock(`${path}.lock`, async () => {
        // Somebody may have taken it up while we looked at the others.
        if (!isOld(path)) return;
        rmSync(path, { recursive: true });
        deleted.push(path);
      });
    }
  }
  return deleted;
}
