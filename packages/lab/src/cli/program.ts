import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { bugsCommand } from './bugs-command.ts';
import { captureCommand } from './capture-command.ts';
import { checkCommand } from './check-command.ts';
import { compareCommand } from './compare-command.ts';
import { demoCommand } from './demo-command.ts';
import { doctorCommand } from './doctor-command.ts';

/** The `gpusvm` command with its subcommands; errors come as exceptions. */
export function program(): Command {
  return new Command('gpusvm')
    .description(
      'Linux GPU shared virtual memory, from IOVA to GPU page table, that you can run and measure.',
    )
    .version(version())
    .showHelpAfterError('(gpusvm --help shows what there is)')
    .exitOverride()
    .addCommand(captureCommand())
    .addCommand(compareCommand())
    .addCommand(bugsCommand())
    .addCommand(checkCommand())
    .addCommand(demoCommand())
    .addCommand(doctorCommand());
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}
