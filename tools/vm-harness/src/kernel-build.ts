import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PrivateApt } from './apt.ts';
import { markUsed } from './cache-age.ts';
import { cacheSubfolder } from './cache-folder.ts';
import { contentKey } from './content-key.ts';
import { withLock } from './file-lock.ts';
import { harnessFile } from './harness-file.ts';
import { checkKernelConfig } from './kernel-config.ts';
import { runCommand } from './run-command.ts';

/** Kernels that a guest can run. */
export type KernelVersion = '6.12' | '7.3';
export const KERNEL_VERSIONS: readonly KernelVersion[] = ['7.3', '6.12'];

/** A kernel in the cache. */
export interface BuiltKernel {
  readonly version: KernelVersion;
  /** Debian's package version, for example `7.3.4-1~bpo13+1`. */
  readonly packageVersion: string;
  readonly key: string;
  /** Path of the bootable image. */
  readonly image: string;
  /** Folder with the kernel's own modules, flat: `nvme-core.ko`, `nvme.ko`. */
  readonly modules: string;
  /** Folder with its user-space headers (`linux/iommufd.h`), for C probes. */
  readonly headers: string;
  /** What is left of source and build tree to build modules against. */
  readonly source: string;
  readonly tree: string;
}

/** Raised when the steps below change what they make of the same source and configuration. */
const RECIPE = '1';

/** Parts of the source tree that neither an x86 kernel nor kconfig looks at: half of the unpacking time. */
const EXCLUDED: readonly string[] = [
  '*/Documentation/[a-z]*',
  '*/drivers/gpu/drm/amd/include',
  '*/arch/*/boot/dts',
];
/** Parts that building a module does not look at. */
const UNNEEDED_FOR_MODULES: readonly string[] = [
  'block',
  'certs',
  'crypto',
  'Documentation',
  'drivers',
  'fs',
  'init',
  'io_uring',
  'ipc',
  'kernel',
  'lib',
  'LICENSES',
  'mm',
  'net',
  'rust',
  'samples',
  'security',
  'sound',
  'tools',
  'usr',
  'virt',
];

/** The configuration that a kernel is built with: what all have, and what its version adds. */
export function kernelConfigText(version: KernelVersion): string {
  return ['guest.config', `linux-${version}.config`]
    .map((name) => readFileSync(harnessFile('kernel', name), 'utf8'))
    .join('');
}

/** The kernel from the cache; null when it has not been built. Fetches nothing, but may ask apt for the version. */
export async function findKernel(version: KernelVersion): Promise<BuiltKernel | null> {
  const kernel = await describeKernel(version);
  return existsSync(stampOf(kernel)) ? kernel : null;
}

/**
 * The kernel from the cache, or built from Debian's source package: some eight minutes on two processors.
 *
 * @throws Error when an option of the configuration did not stick; CommandError with the end of the build's output.
 */
export async function buildKernel(version: KernelVersion, log: (line: string) => void): Promise<BuiltKernel> {
  const kernel = await describeKernel(version);
  const folder = folderOf(kernel);
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(stampOf(kernel))) {
      markUsed(folder);
      return kernel;
    }
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const start = Date.now();
    await unpackSource(kernel, folder);
    await configure(kernel, folder);
    log(`kernel ${kernel.packageVersion}: source and configuration after ${seconds(start)} s, building`);
    await make(kernel, [`-j${availableParallelism()}`, 'bzImage', 'modules']);
    collect(kernel);
    await runCommand('make', ['-s', '-C', kernel.source, `O=${join(folder, 'uapi')}`, 'headers']);
    cpSync(join(folder, 'uapi', 'usr', 'include'), kernel.headers, { recursive: true });
    rmSync(join(folder, 'uapi'), { recursive: true });
    prune(kernel);
    writeFileSync(stampOf(kernel), `${kernel.packageVersion}\n`);
    log(`kernel ${kernel.packageVersion}: built in ${seconds(start)} s`);
    return kernel;
  });
}

async function describeKernel(version: KernelVersion): Promise<BuiltKernel> {
  const packageVersion = await new PrivateApt().version(`linux-source-${version}`);
  const compiler = await runCommand('gcc', ['-dumpfullversion']).catch(() => 'none');
  const key = contentKey({ recipe: RECIPE, config: kernelConfigText(version), packageVersion, compiler });
  const folder = join(cacheSubfolder('kernels'), `${version}-${key}`);
  return {
    version,
    packageVersion,
    key,
    image: join(folder, 'bzImage'),
    modules: join(folder, 'modules'),
    headers: join(folder, 'include'),
    source: join(folder, `linux-source-${version}`),
    tree: join(folder, 'tree'),
  };
}

function folderOf(kernel: BuiltKernel): string {
  return join(kernel.image, '..');
}

function stampOf(kernel: BuiltKernel): string {
  return join(folderOf(kernel), 'complete');
}

function seconds(start: number): number {
  return Math.round((Date.now() - start) / 1000);
}

async function unpackSource(kernel: BuiltKernel, folder: string): Promise<void> {
  const name = `linux-source-${kernel.version}`;
  const download = join(folder, 'download');
  mkdirSync(download);
  const apt = new PrivateApt();
  await apt.download(name, kernel.packageVersion, download).catch(async () => {
    // The lists are from an earlier day and the archive has moved on: the version may be another one then.
    await apt.update();
    await apt.download(name, kernel.packageVersion, download);
  });
  const [file] = readdirSync(download);
  const excludes = EXCLUDED.map((pattern) => `--exclude='${pattern}'`).join(' ');
  const script = [
    'set -o pipefail',
    `dpkg-deb --fsys-tarfile '${join(download, file!)}' | tar -xOf - './usr/src/${name}.tar.xz' \\`,
    `| tar -C '${folder}' -xJf - --wildcards ${excludes}`,
  ].join('\n');
  await runCommand('bash', ['-c', script]);
  rmSync(download, { recursive: true });
}

async function configure(kernel: BuiltKernel, folder: string): Promise<void> {
  const fragment = join(folder, 'fragment.config');
  writeFileSync(fragment, kernelConfigText(kernel.version));
  await make(kernel, [`KCONFIG_ALLCONFIG=${fragment}`, 'allnoconfig']);
  const config = readFileSync(join(kernel.tree, '.config'), 'utf8');
  const mismatches = checkKernelConfig(kernelConfigText(kernel.version), config);
  if (mismatches.length === 0) return;
  const listed = mismatches.map((m) => `${m.option} should be ${m.wanted}, is ${m.got}`).join('; ');
  throw new Error(`kernel ${kernel.version}: options that did not stick: ${listed}`);
}

async function make(kernel: BuiltKernel, args: readonly string[]): Promise<void> {
  await runCommand('make', ['-s', '-C', kernel.source, `O=${kernel.tree}`, ...args]);
}

function collect(kernel: BuiltKernel): void {
  cpSync(join(kernel.tree, 'arch', 'x86', 'boot', 'bzImage'), kernel.image);
  mkdirSync(kernel.modules, { recursive: true });
  for (const file of listFiles(kernel.tree)) {
    if (file.endsWith('.ko')) cpSync(file, join(kernel.modules, file.slice(file.lastIndexOf('/') + 1)));
  }
}

/** Leave what building a module takes: headers, scripts, exported symbols. 2 GiB become some 100 MiB. */
function prune(kernel: BuiltKernel): void {
  for (const name of UNNEEDED_FOR_MODULES) {
    rmSync(join(kernel.source, name), { recursive: true, force: true });
  }
  for (const name of readdirSync(join(kernel.source, 'arch'))) {
    if (name !== 'x86' && statSync(join(kernel.source, 'arch', name)).isDirectory()) {
      rmSync(join(kernel.source, 'arch', name), { recursive: true });
    }
  }
  for (const file of listFiles(kernel.tree)) {
    const isProduct = /\.(o|a|ko|cmd|mod|mod\.c|order)$/.test(file) || /\/(vmlinux[^/]*|bzImage)$/.test(file);
    if (isProduct && !file.includes('/scripts/') && !file.endsWith('/scripts/module.lds')) rmSync(file);
  }
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? listFiles(path) : entry.isFile() ? [path] : [];
  });
}
