import { Command } from 'commander';
import { bugListJson, replayJson } from '../bugs/bugs-json.ts';
import { bugListText, replayText } from '../bugs/bugs-text.ts';
import { BUGS, NOT_SHOWN } from '../bugs/catalogue.ts';
import { replayAll } from '../bugs/replay.ts';
import { UserError } from './user-error.ts';

/** `gpusvm bugs [ID] [--json]`: which real bugs would the sanitizer have caught, and how does one look? */
export function bugsCommand(): Command {
  return new Command('bugs')
    .description(
      'List real bugs of the DMA layer and its users, or replay one on correct and on patched code in every IOMMU mode.',
    )
    .exitOverride()
    .argument('[id]', 'bug to replay; without it all are listed')
    .option('--json', 'print JSON')
    .action((id: string | undefined, flags: { readonly json?: true }) => {
      process.stdout.write(id === undefined ? list(flags.json) : replayed(id, flags.json));
    });
}

function list(asJson: true | undefined): string {
  return asJson ? bugListJson(BUGS, NOT_SHOWN) : bugListText(BUGS, NOT_SHOWN);
}

function replayed(id: string, asJson: true | undefined): string {
  const wanted = id.toUpperCase();
  const bug = BUGS.find((b) => b.id === wanted);
  if (bug === undefined) throw new UserError(unknown(id, wanted));
  const replays = replayAll(bug);
  // A bug that is missed, or a false alarm, is a failure of this program.
  if (replays.some((r) => !r.asExpected)) process.exitCode = 1;
  return asJson ? replayJson(bug, replays) : replayText(bug, replays);
}

function unknown(id: string, wanted: string): string {
  const why = NOT_SHOWN.find((b) => b.id === wanted)?.why;
  if (why !== undefined) return `${wanted} is not replayed: ${why}`;
  return `no bug '${id}'; gpusvm bugs lists them all`;
}
