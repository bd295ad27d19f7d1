import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type GuestReport, parseGuestOutput } from './guest-output.ts';
import { harnessFile } from './harness-file.ts';
import { initramfs } from './initramfs.ts';
import type { BuiltKernel } from './kernel-build.ts';
import { type MachineOptions, qemuArguments } from './qemu-arguments.ts';

/** What to boot and what to run in it. */
export interface GuestOptions
  extends Pick<
    MachineOptions,
    | 'iommu'
    | 'cachingMode'
    | 'interruptRemapping'
    | 'sharedGroup'
    | 'root'
    | 'memoryMib'
    | 'cpus'
    | 'kernelArguments'
  > {
  readonly kernel: BuiltKernel;
  /**
   * Shell script, run with `/tmp/work` as its folder. With `root: 'host'` it sees the host's files read-only
   * (programs, Node, the checkout) and may write to `/tmp`; otherwise it has the applets of busybox only.
   */
  readonly command: string;
  /**
   * Folders below the host's `/tmp` that the command needs, with `root: 'host'`; the guest's own `/tmp` hides the others.
   * Default: the checkout and the folder of this Node, if they are there.
   */
  readonly visible?: readonly string[];
  /** Kernel modules to load before the command, in order: `nvme-core.ko` of the kernel, or a path. */
  readonly modules?: readonly string[];
  /** Files to put into `/tmp/work`, name to content. */
  readonly files?: Readonly<Record<string, string>>;
  /** Files to copy into `/tmp/work`, name to path. */
  readonly binaries?: Readonly<Record<string, string>>;
  /** Names of files in `/tmp/work` to read after the command. */
  readonly results?: readonly string[];
  /** `qemu`: patterns such as `vtd_*`; `kernel`: events such as `iommu:map`. */
  readonly trace?: { readonly qemu?: readonly string[]; readonly kernel?: readonly string[] };
  /** The guest is ended after this time; default 300: a busy machine is slow. */
  readonly timeoutSeconds?: number;
}

/** What a guest did. */
export interface GuestResult extends GuestReport {
  readonly exitCode: number;
  /** First serial port: what the kernel said at boot and when it died. */
  readonly console: string;
  /** dmesg after the command. */
  readonly kernelLog: string;
  /** Text of QEMU's trace log, for {@link parseQemuTrace}; empty without `trace.qemu`. */
  readonly qemuTrace: string;
  /** Text of the kernel's trace, for {@link parseFtrace}; empty without `trace.kernel`. */
  readonly kernelTrace: string;
  /** The files that `results` named; absent ones are left out. */
  readonly files: ReadonlyMap<string, string>;
}

/** A guest that did not come to the end of its command: it oopsed, hung, or did not boot. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly console: string;
  readonly output: string;
  /** Whether the command had begun: before, it is the emulated machine that failed. */
  readonly started: boolean;

  constructor(reason: string, console: string, output: string, started: boolean) {
    const tail = (text: string): string => text.trimEnd().split('\n').slice(-60).join('\n');
    super(
      `${reason}\n--- output of the command\n${tail(output)}\n--- console of the kernel\n${tail(console)}`,
    );
    this.console = console;
    this.output = output;
    this.started = started;
  }
}

const DISK_BYTES = 64 * 2 ** 20;

/**
 * Boot a kernel under QEMU, run one command in it, and collect what it left. An exit status other than 0 is a
 * result; a guest that never got there is an error. One that panics while it boots is booted once more: emulated
 * hardware that is too slow for the kernel does that now and then.
 *
 * @throws GuestError with the console when the kernel panicked, the time was over, QEMU failed, or a step before
 *   the command (mount, module, trace event) failed.
 */
export async function bootGuest(o: GuestOptions): Promise<GuestResult> {
  try {
    return await bootOnce(o);
  } catch (error) {
    const early = error instanceof GuestError && !error.started && error.console.includes('Kernel panic');
    if (!early) throw error;
    return bootOnce(o);
  }
}

async function bootOnce(o: GuestOptions): Promise<GuestResult> {
  const folder = mkdtempSync(join(tmpdir(), 'gpusvm-guest-'));
  try {
    return await bootIn(folder, o);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function bootIn(folder: string, o: GuestOptions): Promise<GuestResult> {
  const work = join(folder, 'work');
  const paths = {
    disk: join(folder, 'disk'),
    output: join(folder, 'output'),
    trace: join(folder, 'trace'),
  };
  mkdirSync(work);
  prepareWork(work, o);
  for (const path of Object.values(paths)) writeFileSync(path, '');
  truncateSync(paths.disk, DISK_BYTES);
  const events = o.trace?.qemu ?? [];
  const args = qemuArguments({
    ...o,
    image: o.kernel.image,
    initramfs: initramfs(),
    work,
    disk: paths.disk,
    output: paths.output,
    ...(events.length === 0 ? {} : { qemuTrace: { events, file: paths.trace } }),
  });
  const timeoutSeconds = o.timeoutSeconds ?? 300;
  const ended = await runQemu(args, timeoutSeconds);
  const report = parseGuestOutput(readFileSync(paths.output, 'utf8'));
  const fail = (reason: string): never => {
    throw new GuestError(reason, ended.console, report.output, report.startSeconds !== null);
  };
  if (report.exitCode === null) {
    return fail(
      ended.timedOut
        ? `the guest was still running after ${timeoutSeconds} s`
        : `the guest ended before its command did (QEMU: ${ended.status}${ended.errors && `, ${ended.errors}`})`,
    );
  }
  if (report.failedSteps.length > 0)
    return fail(`a step before the command failed: ${report.failedSteps.join('; ')}`);
  return {
    ...report,
    exitCode: report.exitCode,
    console: ended.console,
    kernelLog: readIfThere(join(work, '.dmesg')),
    qemuTrace: readFileSync(paths.trace, 'utf8'),
    kernelTrace: readIfThere(join(work, '.ftrace')),
    files: new Map(
      (o.results ?? [])
        .filter((name) => existsSync(join(work, name)))
        .map((name) => [name, readIfThere(join(work, name))]),
    ),
  };
}

function prepareWork(work: string, o: GuestOptions): void {
  for (const [name, content] of Object.entries(o.files ?? {})) writeFileSync(join(work, name), content);
  for (const [name, path] of Object.entries(o.binaries ?? {})) cpSync(path, join(work, name));
  writeFileSync(join(work, '.command'), `${o.command}\n`);
  writeFileSync(
    join(work, '.visible'),
    visibleFolders(o)
      .map((path) => `${path}\n`)
      .join(''),
  );
  writeFileSync(join(work, '.events'), (o.trace?.kernel ?? []).join('\n'));
  const modules = (o.modules ?? []).map((name) => (name.includes('/') ? name : join(o.kernel.modules, name)));
  for (const module of modules) {
    if (!existsSync(module)) throw new Error(`no kernel module ${module}`);
    cpSync(module, join(work, basename(module)));
  }
  writeFileSync(join(work, '.modules'), modules.map((module) => basename(module)).join('\n'));
}

function visibleFolders(o: GuestOptions): readonly string[] {
  if (o.root !== 'host') return [];
  if (o.visible !== undefined) return o.visible;
  return [harnessFile('..', '..'), dirname(process.execPath)].filter((path) => path.startsWith('/tmp/'));
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

interface QemuEnd {
  readonly console: string;
  readonly errors: string;
  readonly status: string;
  readonly timedOut: boolean;
}

function runQemu(args: readonly string[], timeoutSeconds: number): Promise<QemuEnd> {
  return new Promise((resolve, reject) => {
    const console: Buffer[] = [];
    const errors: Buffer[] = [];
    let timedOut = false;
    // A guest that hangs would outlive a harness that was killed: the kernel ends it then.
    const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args];
    const qemu = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => {
      timedOut = true;
      qemu.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    qemu.stdout.on('data', (chunk: Buffer) => console.push(chunk));
    qemu.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    qemu.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`qemu-system-x86_64 cannot be started: ${error.message}`));
    });
    qemu.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        console: Buffer.concat(console).toString('utf8').replaceAll('\r', ''),
        errors: Buffer.concat(errors).toString('utf8').trim(),
        status: signal ?? `status ${code}`,
        timedOut,
      });
    });
  });
}
