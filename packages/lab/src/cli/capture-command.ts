import { Command } from 'commander';
import { CaptureLimit } from '../capture/capture-check.ts';
import { saveCapture } from '../capture/capture-file.ts';
import { describeMemory } from '../report/memory.ts';
import { readProcess } from '../capture/proc-reader.ts';
import { summarize } from '../compare/memory-summary.ts';
import { integer, shortText } from './arguments.ts';

interface CaptureFlags {
  readonly pid: number;
  readonly output: string;
  readonly keepNames?: true;
  readonly seed: number;
  readonly note?: string;
  readonly json?: true;
}

/** `gpusvm capture`: the memory layout of a live process into a file. */
export function captureCommand(): Command {
  return new Command('capture')
    .description(
      'Write the memory layout of a live Linux process to a file: mappings, population, page frames, folio orders; no contents.',
    )
    .exitOverride()
    .requiredOption('--pid <pid>', 'process to read', integer('a pid', 1, 4_194_304))
    .option('-o, --output <file>', 'file to write', 'capture.gsvm')
    .option('--keep-names', 'keep the paths of mapped files and the command name')
    .option(
      '--seed <n>',
      'seed of the physical model, used when the kernel hides page frames',
      integer('a seed', 0, 0xffff_ffff),
      1,
    )
    .option('--note <text>', 'a sentence to store in the file', shortText('a note', CaptureLimit.TEXT_BYTES))
    .option('--json', 'print the summary as JSON')
    .action((flags: CaptureFlags) => {
      const { capture, warnings } = readProcess(flags.pid, {
        keepNames: flags.keepNames === true,
        seed: flags.seed,
        ...(flags.note === undefined ? {} : { note: flags.note }),
      });
      const bytes = saveCapture(flags.output, capture);
      const memory = summarize(flags.output, capture);
      if (flags.json === true) {
        process.stdout.write(`${JSON.stringify({ file: flags.output, bytes, warnings, memory }, null, 2)}\n`);
        return;
      }
      for (const warning of warnings) process.stderr.write(`gpusvm: ${warning}\n`);
      process.stdout.write(`${flags.output}: ${bytes} bytes\n${describeMemory(memory)}\n`);
    });
}
