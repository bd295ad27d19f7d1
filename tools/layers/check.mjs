// Fails if a package imports, depends on or references a package that is not below it in layers.mjs.
//   node tools/layers/check.mjs [root of a workspace]
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { below, benchTools } from './layers.mjs';

const SCOPE = '@gpusvm/';
const SOURCE_FILE = /\.[cm]?[jt]s$/;
const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'coverage', '.turbo', '.vitest']);

// Alternatives in this order, so that an import inside a comment or a string is consumed as such:
// comment, import specifier, quoted string on one line, template.
const TOKEN =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|\b(?:from|import|require)\s*\(?\s*(['"])([^'"\n]+)\1|(['"])(?:\\.|(?!\3)[^\\\n])*\3|`(?:\\.|[^\\`])*`/g;

/** The module specifiers that a source text imports, with the line of each. */
export function findImports(text) {
  const imports = [];
  for (const match of text.matchAll(TOKEN)) {
    if (match[2] === undefined) continue;
    imports.push({ specifier: match[2], line: text.slice(0, match.index).split('\n').length });
  }
  return imports;
}

function listSources(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return SKIPPED_FOLDERS.has(entry.name) ? [] : listSources(join(dir, entry.name));
    return SOURCE_FILE.test(entry.name) ? [join(dir, entry.name)] : [];
  });
}

/** The package folder that an import reaches, or undefined for the package itself and for the outside world. */
function reachedPackage(packagesDir, name, file, specifier) {
  if (specifier.startsWith(SCOPE)) {
    const reached = specifier.slice(SCOPE.length).split('/')[0];
    return reached === name ? undefined : reached;
  }
  if (!specifier.startsWith('.')) return undefined;
  const path = relative(packagesDir, resolve(dirname(file), specifier));
  const reached = path.split(sep)[0];
  return reached === name || reached === '..' ? undefined : reached;
}

function checkImports(packagesDir, name) {
  const problems = [];
  for (const file of listSources(join(packagesDir, name))) {
    for (const { specifier, line } of findImports(readFileSync(file, 'utf8'))) {
      const reached = reachedPackage(packagesDir, name, file, specifier);
      if (reached === undefined) continue;
      const at = `packages/${relative(packagesDir, file)}:${line}`;
      if (benchTools.includes(reached)) {
        const isBench = relative(join(packagesDir, name), file).startsWith(`bench${sep}`);
        if (!isBench) problems.push(`${at}: ${name} imports ${reached}, which is for bench/ folders only`);
        continue;
      }
      if (!below[name].includes(reached)) {
        problems.push(`${at}: ${name} imports ${reached} ('${specifier}'), which is not below it`);
      } else if (specifier.startsWith('.')) {
        problems.push(`${at}: '${specifier}' reaches into ${reached}; import '${SCOPE}${reached}'`);
      }
    }
  }
  return problems;
}

function checkManifest(packagesDir, name) {
  const manifest = JSON.parse(readFileSync(join(packagesDir, name, 'package.json'), 'utf8'));
  const fields = ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies'];
  return fields
    .flatMap((field) =>
      Object.keys(manifest[field] ?? {}).filter(
        (dependency) => field !== 'devDependencies' || !benchTools.includes(dependency.slice(SCOPE.length)),
      ),
    )
    .filter((dependency) => dependency.startsWith(SCOPE))
    .filter((dependency) => !below[name].includes(dependency.slice(SCOPE.length)))
    .map(
      (dependency) =>
        `packages/${name}/package.json: ${name} depends on ${dependency}, which is not below it`,
    );
}

function checkReferences(packagesDir, name) {
  const problems = [];
  for (const config of ['tsconfig.build.json', 'tsconfig.test.json']) {
    const file = join(packagesDir, name, config);
    if (!existsSync(file)) continue;
    for (const { path } of JSON.parse(readFileSync(file, 'utf8')).references ?? []) {
      const reached = relative(packagesDir, resolve(dirname(file), path)).split(sep)[0];
      if (reached === name || below[name].includes(reached)) continue;
      problems.push(`packages/${name}/${config}: ${name} references ${reached}, which is not below it`);
    }
  }
  return problems;
}

/**
 * turbo repeats the table as tags, for editors and `turbo boundaries`: both must say the same. It cannot tell a bench/
 * folder from a src/ folder, so it allows the bench tools everywhere.
 */
function checkTurboTags(root) {
  const file = join(root, 'turbo.json');
  if (!existsSync(file)) return [];
  const tags = JSON.parse(readFileSync(file, 'utf8')).boundaries?.tags ?? {};
  const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const allowed = {
    ...Object.fromEntries(benchTools.map((name) => [name, []])),
    ...Object.fromEntries(Object.entries(below).map(([name, list]) => [name, [...list, ...benchTools]])),
  };
  return Object.keys({ ...allowed, ...tags })
    .filter((name) => !isSame(tags[name]?.dependencies?.allow, allowed[name]))
    .map((name) => `turbo.json: boundaries.tags.${name} differs from tools/layers/layers.mjs`);
}

/** Every breach of the layer order in the workspace at `root`, one line each, naming the file. */
export function checkLayers(root) {
  const packagesDir = join(resolve(root), 'packages');
  const problems = checkTurboTags(root);
  for (const name of readdirSync(packagesDir)) {
    if (!existsSync(join(packagesDir, name, 'package.json'))) continue;
    if (!Object.hasOwn(below, name)) {
      problems.push(`packages/${name}: not in the table of tools/layers/layers.mjs`);
      continue;
    }
    problems.push(...checkManifest(packagesDir, name));
    problems.push(...checkReferences(packagesDir, name));
    problems.push(...checkImports(packagesDir, name));
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = checkLayers(process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url)));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
