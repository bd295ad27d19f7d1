import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findImports } from '../check.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const script = fileURLToPath(new URL('../check.mjs', import.meta.url));
const CONFIGURATION = [
  'package.json',
  'turbo.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.test.json',
];

let copy = '';

/** A copy of the workspace's real configuration, with one source file per package that imports nothing. */
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'gpusvm-layers-'));
  cpSync(join(root, 'turbo.json'), join(copy, 'turbo.json'));
  for (const name of readdirSync(join(root, 'packages'))) {
    mkdirSync(join(copy, 'packages', name, 'src'), { recursive: true });
    for (const file of CONFIGURATION) {
      const from = join(root, 'packages', name, file);
      if (existsSync(from)) cpSync(from, join(copy, 'packages', name, file));
    }
    plant(`packages/${name}/src/index.ts`, 'export const one = 1;\n');
  }
});

afterEach(() => rmSync(copy, { recursive: true, force: true }));

function plant(file, text) {
  writeFileSync(join(copy, file), text);
}

function check() {
  const { status, stderr } = spawnSync(process.execPath, [script, copy], { encoding: 'utf8' });
  return { status, stderr };
}

it('passes the configuration of the workspace as it is', () => {
  expect(check()).toEqual({ status: 0, stderr: '' });
});

it('passes an import of a package below', () => {
  plant('packages/hmm/src/index.ts', "import { one } from '@gpusvm/dma-iova';\nexport { one };\n");
  expect(check()).toEqual({ status: 0, stderr: '' });
});

it.each([
  ['by package name', "import { one } from '@gpusvm/drm-gpusvm';"],
  ['by a subpath of a package', "export * from '@gpusvm/drm-pagemap/contract';"],
  ['by relative path', "import { one } from '../../drm-gpusvm/src/index.ts';"],
  ['as a type only', "import type { One } from '@gpusvm/drm-gpusvm';"],
  ['as a type expression', "export type One = import('@gpusvm/drm-gpusvm').One;"],
  ['dynamically', "export const later = () => import('@gpusvm/xe-driver');"],
  ['for its side effects', "import '@gpusvm/lab';"],
])('fails on a wrong-way import %s and names the file and the line', (_form, statement) => {
  plant('packages/hmm/src/index.ts', `// why not\n${statement}\n`);
  const { status, stderr } = check();
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^packages\/hmm\/src\/index\.ts:2: hmm imports (drm-gpusvm|drm-pagemap|xe-driver|lab) /,
  );
  expect(stderr.trim().split('\n')).toHaveLength(1);
});

it('fails on a relative path into a package below, which would bypass its public surface', () => {
  plant('packages/hmm/src/index.ts', "import { one } from '../../kernel/src/index.ts';\n");
  expect(check().stderr).toContain(
    "packages/hmm/src/index.ts:1: '../../kernel/src/index.ts' reaches into kernel",
  );
});

it('fails on a manifest that depends on a package above', () => {
  const manifest = { name: '@gpusvm/hmm', dependencies: { '@gpusvm/drm-gpusvm': 'workspace:*' } };
  plant('packages/hmm/package.json', JSON.stringify(manifest));
  expect(check()).toMatchObject({ status: 1, stderr: expect.stringContaining('packages/hmm/package.json') });
});

it('fails on a project reference to a package above', () => {
  const config = { references: [{ path: '../drm-gpusvm/tsconfig.build.json' }] };
  plant('packages/hmm/tsconfig.build.json', JSON.stringify(config));
  expect(check()).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('packages/hmm/tsconfig.build.json'),
  });
});

it('fails on a package that the table does not hold', () => {
  mkdirSync(join(copy, 'packages/extra'));
  plant('packages/extra/package.json', '{}');
  expect(check()).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('packages/extra: not in the table'),
  });
});

it('reads no import out of a comment, a string or a template', () => {
  const text = [
    "/** `import { a } from '@gpusvm/lab'` */",
    "// import '@gpusvm/lab'",
    'const a = "import \'@gpusvm/lab\'";',
    "const b = `import '@gpusvm/lab'`;",
    "import { c } from './c.ts';",
  ].join('\n');
  expect(findImports(text)).toEqual([{ specifier: './c.ts', line: 5 }]);
});

it('passes the bench tools in a bench folder, and nowhere else', () => {
  const text = "import { runRatios } from '@gpusvm/bench';\nrunRatios([]);\n";
  mkdirSync(join(copy, 'packages/hmm/bench'), { recursive: true });
  plant('packages/hmm/bench/one.mjs', text);
  expect(check()).toEqual({ status: 0, stderr: '' });
  plant('packages/hmm/src/index.ts', text);
  expect(check()).toEqual({
    status: 1,
    stderr: 'packages/hmm/src/index.ts:1: hmm imports bench, which is for bench/ folders only\n',
  });
});
