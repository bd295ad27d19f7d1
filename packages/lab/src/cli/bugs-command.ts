import { Command } from 'commander';
import { bugListJson, replayJson } from '../bugs/bugs-json.ts';
import { bugListText, replayText } from '../bugs/bugs-text.ts';
import { BUGS, NOT_SHOWN } from '../bugs/catalogue.ts';
import type { MmBug } from '../bugs/mm/mm-bug.ts';
import { MM_BUGS } from '../bugs/mm/mm-catalogue.ts';
import { replayMmBoth } from '../bugs/mm/mm-replay.ts';
import { mmBugJson, mmBugLines, mmReplayText } from '../bugs/mm/mm-text.ts';
import type { XeBug } from '../bugs/xe/xe-bug.ts';
import { XE_BUGS } from '../bugs/xe/xe-catalogue.ts';
import { replayXeAll } from '../bugs/xe/xe-replay.ts';
import { xeBugJson, xeBugLines, xeReplayText } from '../bugs/xe/xe-text.ts';
import { replayAll } from '../bugs/replay.ts';
import { UserError } from './user-error.ts';

/** `gpusvm bugs [ID] [--json]`: which real bugs would the sanitizer have caught, and how does one look? */
export function bugsCommand(): Command {
  return new Command('bugs')
    .description(
      'List real bugs of the DMA layer, of mm and of their users, or replay one on correct and on patched code: in every IOMMU mode, or under every interleaving.',
    )
    .exitOverride()
    .argument('[id]', 'bug to replay; without it all are listed')
    .option('--json', 'print JSON')
    .action((id: string | undefined, flags: { readonly json?: true }) => {
      process.stdout.write(id === undefined ? list(flags.json) : replayed(id, flags.json));
    });
}

function list(asJson: true | undefined): string {
  return asJson
    ? bugListJson(BUGS, NOT_SHOWN, MM_BUGS.map(mmBugJson), XE_BUGS.map(xeBugJson))
    : bugListText(BUGS, NOT_SHOWN, mmBugLines(MM_BUGS), xeBugLines(XE_BUGS));
}

function replayed(id: string, asJson: true | undefined): string {
  const wanted = id.toUpperCase();
  const mmBug = MM_BUGS.find((b) => b.id === wanted);
  if (mmBug !== undefined) return explored(mmBug, asJson);
  const xeBug = XE_BUGS.find((b) => b.id === wanted);
  if (xeBug !== undefined) return onTheStack(xeBug, asJson);
  const bug = BUGS.find((b) => b.id === wanted);
  if (bug === undefined) throw new UserError(unknown(id, wanted));
  const replays = replayAll(bug);
  // A bug that is missed, or a false alarm, is a failure of this program.
  if (replays.some((r) => !r.asExpected)) process.exitCode = 1;
  return asJson ? replayJson(bug, replays) : replayText(bug, replays);
}

function explored(bug: MmBug, asJson: true | undefined): string {
  const replays = replayMmBoth(bug);
  const asExpected = replays.every((r) => r.asExpected);
  if (!asExpected) process.exitCode = 1;
  if (asJson !== true) return mmReplayText(bug, replays);
  return `${JSON.stringify({ version: 1, bug: mmBugJson(bug), asExpected, replays }, null, 2)}\n`;
}

function onTheStack(bug: XeBug, asJson: true | undefined): string {
  const replays = replayXeAll(bug);
  const asExpected = replays.every((r) => r.asExpected);
  if (!asExpected) process.exitCode = 1;
  if (asJson !== true) return xeReplayText(bug, replays);
  return `${JSON.stringify({ version: 1, bug: xeBugJson(bug), asExpected, replays }, null, 2)}\n`;
}

function unknown(id: string, wanted: string): string {
  const why = NOT_SHOWN.find((b) => b.id === wanted)?.why;
  if (why !== undefined) return `${wanted} is not replayed: ${why}`;
  return `no bug '${id}'; gpusvm bugs lists them all`;
}
