import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { markUsed } from '../cache-age.ts';
import { cacheSubfolder } from '../cache-folder.ts';
import { contentKey } from '../content-key.ts';
import { harnessFile } from '../harness-file.ts';
import { runCommand } from '../run-command.ts';

/** Path of the program that runs scenarios on a kernel: from the cache, or compiled (a second). Linked statically. */
export async function buildInterpreter(): Promise<string> {
  const source = harnessFile('guest', 'hmm-scenario.c');
  const folder = cacheSubfolder('programs');
  const program = join(folder, `hmm-scenario-${contentKey({ source: readFileSync(source, 'utf8') })}`);
  if (markUsed(program)) return program;
  mkdirSync(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  await runCommand('cc', ['-O1', '-Wall', '-Wextra', '-Werror', '-static', '-pthread', source, '-o', fresh]);
  renameSync(fresh, program);
  return program;
}
