/** What the init script reported on the guest's second serial port. */
export interface GuestReport {
  /** Exit status of the command; null when the guest ended before it did. */
  readonly exitCode: number | null;
  /** What the command printed. */
  readonly output: string;
  /** Steps before the command that failed, such as a mount or a module. */
  readonly failedSteps: readonly string[];
  /** Seconds of guest time at the start and at the end of the command; null when it was not reached. */
  readonly startSeconds: number | null;
  readonly endSeconds: number | null;
}

/** Read the second serial port of a guest. */
export function parseGuestOutput(text: string): GuestReport {
  const lines = text.replaceAll('\r', '').split('\n');
  const failedSteps: string[] = [];
  const output: string[] = [];
  let exitCode: number | null = null;
  let startSeconds: number | null = null;
  let endSeconds: number | null = null;
  for (const line of lines) {
    const start = /^GPUSVM-START ([\d.]+)$/.exec(line);
    const exit = /^GPUSVM-EXIT (\d+) ([\d.]+)$/.exec(line);
    if (start !== null) startSeconds = Number(start[1]);
    else if (exit !== null) {
      exitCode = Number(exit[1]);
      endSeconds = Number(exit[2]);
    } else if (line.startsWith('GPUSVM-FAILED ')) failedSteps.push(line.slice('GPUSVM-FAILED '.length));
    else if (startSeconds !== null && exitCode === null) output.push(line);
  }
  // The init script ends the command's output with an empty line of its own.
  if (exitCode !== null && output.at(-1) === '') output.pop();
  return { exitCode, output: output.join('\n'), failedSteps, startSeconds, endSeconds };
}
