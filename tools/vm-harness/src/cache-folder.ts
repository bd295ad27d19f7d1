import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Folder for kernels and other things that are expensive to make: `$XDG_CACHE_HOME/gpusvm`, else `~/.cache/gpusvm`. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, home: string = homedir()): string {
  const base = env['XDG_CACHE_HOME'];
  // The XDG specification: a relative path is to be ignored.
  return join(base !== undefined && base.startsWith('/') ? base : join(home, '.cache'), 'gpusvm');
}

/** A subfolder of the cache, made when it is not there. */
export function cacheSubfolder(...names: readonly string[]): string {
  const folder = join(cacheFolder(), ...names);
  mkdirSync(folder, { recursive: true });
  return folder;
}
