import { type ChildProcess, spawn } from 'node:child_process';
import type { Capture } from '../capture/capture.ts';
import { readProcess } from '../capture/proc-reader.ts';

/**
 * A process with a memory of several kinds: densely written, every third page, many small buffers, code and
 * libraries of its own. It waits until it is told to end.
 */
const SCRIPT = `
const keep = [];
const dense = Buffer.alloc(24 << 20, 1);
keep.push(dense);
const sparse = Buffer.allocUnsafeSlow(24 << 20);
for (let at = 0; at < sparse.length; at += 3 * 4096) sparse[at] = 1;
keep.push(sparse);
for (let i = 0; i < 2000; i++) keep.push(Buffer.alloc(512 + (i % 64) * 512, 1));
process.stdout.write('ready\\n');
process.stdin.on('end', () => process.exit(0)).resume();
`;

/** A running process of ours that can be captured. */
interface LiveProcess {
  readonly pid: number;
  /** End it. */
  stop(): Promise<void>;
}

/**
 * Start a process of a known shape, capture it, end it: `--live`, and the last table of the demo.
 *
 * @throws Error when it does not come up; CaptureError when it cannot be read.
 */
export async function captureOwnProcess(): Promise<Capture> {
  const live = await startLiveProcess();
  try {
    return readProcess(live.pid).capture;
  } finally {
    await live.stop();
  }
}

async function startLiveProcess(): Promise<LiveProcess> {
  const child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['pipe', 'pipe', 'ignore'] });
  const pid = child.pid;
  await ready(child);
  if (pid === undefined) throw new Error('the process to capture did not start');
  return {
    pid,
    stop: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.stdin.end();
      await ended;
    },
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the process to capture ended with code ${code}`)));
    child.stdout?.once('data', () => resolve());
  });
}
