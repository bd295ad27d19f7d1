import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCandidate, parseRepositories, privateSourceList, REPOSITORY_FORMAT } from './apt-sources.ts';
import { cacheSubfolder } from './cache-folder.ts';
import { runCommand } from './run-command.ts';

/** The suite that has the newer kernel's source. */
const SUITE = 'trixie-backports';

/** What building a kernel and booting it takes, beyond Node and an essential Debian. */
const PACKAGES: readonly string[] = [
  'bc',
  'bison',
  'busybox-static',
  'ca-certificates',
  'cpio',
  'flex',
  'gcc',
  'kmod',
  'libc6-dev',
  'libelf-dev',
  'libssl-dev',
  'make',
  'perl',
  'python3-minimal',
  'qemu-system-x86',
  'xz-utils',
];

/**
 * Install the Debian packages that are missing; nothing is asked and nothing else is upgraded.
 *
 * @throws Error when some are missing and this process is not root.
 */
export async function installPackages(): Promise<void> {
  const missing = await missingPackages();
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) {
    throw new Error(`missing Debian packages, install them as root: apt-get install ${missing.join(' ')}`);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await runCommand('apt-get', ['update', '-qq'], { env });
  await runCommand('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { env });
}

/** Names of needed packages that dpkg does not have. */
async function missingPackages(): Promise<string[]> {
  const format = '${Package} ${db:Status-Status}\n';
  const listing = await runCommand('dpkg-query', ['-W', '-f', format]);
  const installed = new Set(
    listing
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return PACKAGES.filter((name) => !installed.has(name));
}

/** A private apt root: its own source list, lists and downloads, so that the machine's sources stay as they are. */
export class PrivateApt {
  readonly #folder: string;

  constructor(folder: string = cacheSubfolder('apt')) {
    this.#folder = folder;
    mkdirSync(join(folder, 'lists', 'partial'), { recursive: true });
    mkdirSync(join(folder, 'archives', 'partial'), { recursive: true });
  }

  /** Candidate version of a package; the lists are fetched when they are not there yet. */
  async version(packageName: string): Promise<string> {
    const known = existsSync(this.#sourceList) ? await this.#candidate(packageName) : null;
    const version = known ?? (await this.update().then(() => this.#candidate(packageName)));
    if (version === null) {
      throw new Error(
        `apt knows no package ${packageName} in ${readFileSync(this.#sourceList, 'utf8').trim()}`,
      );
    }
    return version;
  }

  /** Fetch the package lists. */
  async update(): Promise<void> {
    const targets = await runCommand('apt-get', [
      'indextargets',
      '--format',
      REPOSITORY_FORMAT,
      'Created-By: Packages',
    ]);
    const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '';
    writeFileSync(this.#sourceList, privateSourceList(parseRepositories(targets), codename, SUITE));
    await runCommand('apt-get', [...this.#options, 'update', '-qq']);
  }

  /** Download a package file into a folder, which must be empty. */
  async download(packageName: string, version: string, folder: string): Promise<void> {
    await runCommand('apt-get', [...this.#options, 'download', '-qq', `${packageName}=${version}`], {
      cwd: folder,
    });
  }

  get #sourceList(): string {
    return join(this.#folder, 'sources.list');
  }

  get #options(): string[] {
    return [
      ['Dir::Etc::sourcelist', this.#sourceList],
      ['Dir::Etc::sourceparts', '-'],
      ['Dir::State::lists', join(this.#folder, 'lists')],
      ['Dir::Cache', this.#folder],
      // The sandbox user cannot write into a folder of root's home.
      ['APT::Sandbox::User', 'root'],
    ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  }

  async #candidate(packageName: string): Promise<string | null> {
    return parseCandidate(await runCommand('apt-cache', [...this.#options, 'policy', packageName]));
  }
}
