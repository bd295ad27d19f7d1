import { expect, test } from 'vitest';
import { parseCandidate, parseRepositories, privateSourceList } from '../src/apt-sources.ts';

const TARGETS = `http://mirror.example/debian/|bookworm|main
http://mirror.example/debian/|bookworm|main
http://mirror.example/debian/|bookworm-updates|main
http://security.example/debian-security/|bookworm-security|main
https://vendor.example/node|nodistro|main
http://mirror.example/debian/|bookworm|non-free
`;

test('the private list has the own Debian suites and the further suite on the same mirror, and no vendor', () => {
  const list = privateSourceList(parseRepositories(TARGETS), 'bookworm', 'trixie-backports');
  expect(list.replaceAll(/\[signed-by=\S+\] /g, '').split('\n')).toEqual([
    'deb http://mirror.example/debian/ bookworm main',
    'deb http://mirror.example/debian/ bookworm-updates main',
    'deb http://security.example/debian-security/ bookworm-security main',
    'deb http://mirror.example/debian/ trixie-backports main',
    '',
  ]);
});

test('without security updates those beside the mirror are added; nothing is listed twice', () => {
  const sources = (targets: string, codename: string): string[] =>
    privateSourceList(parseRepositories(targets), codename, 'trixie-backports')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(2, 4).join(' '));
  expect(sources('http://mirror.example/debian/|bookworm|main\n', 'bookworm')).toEqual([
    'http://mirror.example/debian/ bookworm',
    'http://mirror.example/debian-security/ bookworm-security',
    'http://mirror.example/debian/ trixie-backports',
  ]);
  const all = ['trixie', 'trixie-security', 'trixie-backports']
    .map((r) => `http://m/debian|${r}|main\n`)
    .join('');
  expect(sources(all, 'trixie')).toEqual([
    'http://m/debian trixie',
    'http://m/debian trixie-security',
    'http://m/debian trixie-backports',
  ]);
});

test('a machine without a source for its own release is told what to add', () => {
  expect(() => privateSourceList(parseRepositories(TARGETS), 'trixie', 'x')).toThrow(
    /no apt source for Debian trixie main/,
  );
});

test('the candidate version is read; none and unknown are null', () => {
  expect(parseCandidate('linux-source-7.3:\n  Installed: (none)\n  Candidate: 7.3.4-1~bpo13+1\n')).toBe(
    '7.3.4-1~bpo13+1',
  );
  expect(parseCandidate('x:\n  Installed: (none)\n  Candidate: (none)\n')).toBeNull();
  expect(parseCandidate('')).toBeNull();
});
