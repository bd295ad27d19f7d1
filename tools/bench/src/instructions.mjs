import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const VALGRIND = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null'];
/** V8 without threads, timers and random seeds: the same work on every run. */
const NODE = [
  '--predictable',
  '--predictable-gc-schedule',
  '--single-threaded',
  '--hash-seed=1',
  '--random-seed=1',
];
const CHILD = fileURLToPath(new URL('./run-case.mjs', import.meta.url));

/** Instructions of one operation from those of two numbers of runs. */
export function slopePerOp(fewRuns, fewInstructions, manyRuns, manyInstructions, ops) {
  return (manyInstructions - fewInstructions) / (manyRuns - fewRuns) / ops;
}

function countWithValgrind(url, title, name, runs) {
  const args = [...VALGRIND, process.execPath, ...NODE, CHILD, url, title, name, String(runs)];
  const { error, status, stderr } = spawnSync('valgrind', args, { encoding: 'utf8' });
  if (error?.code === 'ENOENT')
    throw new Error('valgrind is not installed: instruction counts need it (apt-get install valgrind)');
  const match = /I\s+refs:\s+([\d,]+)/.exec(stderr);
  if (status !== 0 || match === null) throw new Error(`${title}, ${name}: valgrind said\n${stderr}`);
  return Number(match[1].replaceAll(',', ''));
}

/**
 * Count the instructions an operation of every case and print them.
 *
 * @param {string} url - the scenario file, `import.meta.resolve('./scenarios.mjs')`.
 * @param {object[]} groups - what it exports, as in the README.
 * @param {{ filter?: string, runs?: readonly [number, number], print?: (line: string) => void,
 *   count?: typeof countWithValgrind }} options - `filter`: only
 *   cases whose group's title or name holds it; `runs`: the two numbers of runs, both beyond the warm-up (default 2000
 *   and 4000; a case may have its own in `runs`); `count`: another counter.
 * @returns {{ title: string, name: string, instructions: number }[]}
 */
export function runInstructions(url, groups, options = {}) {
  const { filter = '', runs = [2000, 4000], print = console.log, count = countWithValgrind } = options;
  const results = [];
  for (const { title, cases } of groups) {
    const wanted = cases.filter(
      ({ name, instructions = true }) => instructions && (title.includes(filter) || name.includes(filter)),
    );
    if (wanted.length > 0) print(`\n${title}`);
    const perRun = new Map();
    const slope = (one) => {
      const [few, many] = one.runs ?? runs;
      const known = perRun.get(one.name);
      if (known !== undefined) return known;
      const value = slopePerOp(
        few,
        count(url, title, one.name, few),
        many,
        count(url, title, one.name, many),
        1,
      );
      perRun.set(one.name, value);
      return value;
    };
    for (const one of wanted) {
      const other = one.less === undefined ? undefined : cases.find(({ name }) => name === one.less);
      if (one.less !== undefined && other === undefined)
        throw new Error(`${title}, ${one.name}: there is no case ${one.less} to take off`);
      const instructions = (slope(one) - (other === undefined ? 0 : slope(other))) / one.ops;
      print(`  ${(one.label ?? one.name).padEnd(52)} ${instructions.toFixed(1).padStart(12)} instructions`);
      results.push({ title, name: one.label ?? one.name, instructions });
    }
  }
  return results;
}
