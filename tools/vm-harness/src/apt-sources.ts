/** One repository line of the machine's apt configuration. */
export interface AptRepository {
  readonly uri: string;
  readonly release: string;
  readonly component: string;
}

/** Format for `apt-get indextargets` that {@link parseRepositories} reads: it knows both kinds of source files. */
export const REPOSITORY_FORMAT = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)';

/** Keys of the Debian archive, as the package debian-archive-keyring installs them. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Repositories from the output of `apt-get indextargets`, each once, in their order. */
export function parseRepositories(text: string): AptRepository[] {
  const seen = new Set<string>();
  const repositories: AptRepository[] = [];
  for (const line of text.split('\n')) {
    const [uri, release, component] = line.trim().split('|');
    if (uri === undefined || release === undefined || component === undefined || seen.has(line)) continue;
    seen.add(line);
    repositories.push({ uri, release, component });
  }
  return repositories;
}

/**
 * Source list of a private apt root: the machine's own Debian repositories, and one more suite on the mirror that
 * serves its main one. So a machine behind a mirror stays behind it, and its own sources are not touched. A machine
 * without security updates, as debootstrap makes them, gets those from beside its mirror, as Debian's own servers have
 * them: there the longterm kernel's source is the newest. (That of bookworm-backports, 6.12.95, hangs when a device
 * faults a swapped page.)
 *
 * @param codename - of the machine, for example `bookworm`.
 * @param suite - the further suite, for example `trixie-backports`.
 * @throws Error when the machine has no source for its own codename.
 */
export function privateSourceList(
  repositories: readonly AptRepository[],
  codename: string,
  suite: string,
): string {
  const own = repositories.filter((r) => r.component === 'main' && r.release.split('-')[0] === codename);
  const mirror = own.find((r) => r.release === codename);
  if (mirror === undefined) {
    throw new Error(
      `no apt source for Debian ${codename} main: add one to /etc/apt, it tells which mirror to use for ${suite}`,
    );
  }
  const further = [
    { uri: mirror.uri.replace(/\/debian\/?$/, '/debian-security/'), release: `${codename}-security` },
    { uri: mirror.uri, release: suite },
  ];
  const added = further.filter(({ release }) => !own.some((r) => r.release === release));
  return [...own, ...added]
    .map(({ uri, release }) => `deb [signed-by=${KEYRING}] ${uri} ${release} main\n`)
    .join('');
}

/** The version that `apt-cache policy` would install; null when the package is not known. */
export function parseCandidate(policy: string): string | null {
  const version = /^\s*Candidate:\s*(\S+)/m.exec(policy)?.[1];
  return version === undefined || version === '(none)' ? null : version;
}
