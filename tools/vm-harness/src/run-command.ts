import { spawn } from 'node:child_process';

/** A command that did not end with status 0: the message names it and shows the end of what it printed. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly output: string;

  constructor(command: string, status: number | string, output: string) {
    super(`${command} ended with ${status}:\n${output.split('\n').slice(-30).join('\n')}`);
    this.output = output;
  }
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Text for its standard input; default none. */
  readonly input?: string | Buffer;
}

/**
 * Run a command to its end, without a terminal.
 *
 * @returns its standard output and error, interleaved as they came.
 * @throws CommandError when it cannot be started or its status is not 0.
 */
export function runCommand(command: string, args: readonly string[], o: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const child = spawn(command, args, { cwd: o.cwd, env: o.env ?? process.env, stdio: 'pipe' });
    const shown = [command, ...args].join(' ');
    const text = (): string => Buffer.concat(chunks).toString('utf8');
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', (error) => reject(new CommandError(shown, error.message, text())));
    child.on('close', (code, signal) => {
      if (code === 0) resolve(text());
      else reject(new CommandError(shown, signal ?? `status ${code}`, text()));
    });
    // A command that ends without reading its input is no error of ours.
    child.stdin.on('error', () => undefined);
    child.stdin.end(o.input ?? '');
  });
}
