import { bootGuest, type GuestOptions, type GuestResult } from '../boot-guest.ts';
import { buildOracle } from './build-oracle.ts';
import { formatPrograms, type OracleProgram, type OracleTranscript, parseTranscripts } from './program.ts';

/** Programs, and the guest to run them in. */
export interface OracleRunOptions
  extends Pick<
    GuestOptions,
    'kernel' | 'iommu' | 'cachingMode' | 'kernelArguments' | 'trace' | 'timeoutSeconds'
  > {
  readonly programs: readonly OracleProgram[];
}

/** One transcript a program, and what else the guest left. */
export interface OracleRun {
  readonly transcripts: readonly OracleTranscript[];
  readonly guest: GuestResult;
}

/**
 * Let single pages fail to be allocated when a program asks for it, quietly; then write the programs and read the
 * transcript: the descriptor is the session.
 */
const COMMAND = `
echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
echo 0 >/sys/kernel/debug/fail_page_alloc/verbose
exec 3<>/sys/kernel/debug/gpusvm_oracle/run && cat programs >&3 && cat <&3 >transcript
`;

/**
 * Run programs of DMA API calls on the kernel itself, all in one boot, each on a device that has just appeared.
 *
 * @throws GuestError when the kernel died (its console names the line of the program), Error when a program could
 *   not start or the guest returned fewer transcripts than programs.
 */
export async function runOracle(o: OracleRunOptions): Promise<OracleRun> {
  const guest = await bootGuest({
    ...o,
    modules: [await buildOracle(o.kernel)],
    files: { programs: formatPrograms(o.programs) },
    results: ['transcript'],
    command: COMMAND,
  });
  if (guest.exitCode !== 0)
    throw new Error(`the oracle ended with status ${guest.exitCode}: ${guest.output}`);
  const transcripts = parseTranscripts(guest.files.get('transcript') ?? '');
  if (transcripts.length !== o.programs.length) {
    throw new Error(`${o.programs.length} programs gave ${transcripts.length} transcripts`);
  }
  const failed = transcripts.findIndex((transcript) => transcript.reset !== 0);
  if (failed >= 0) throw new Error(`the reset before program ${failed} gave ${transcripts[failed]!.reset}`);
  return { transcripts, guest };
}
