import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./run-group.mjs', import.meta.url));
const WARM_RUNS = 300;

/** The 10th percentile of samples: the machine undisturbed, without the luck of the minimum. */
export function percentile10(samples) {
  return [...samples].sort((a, b) => a - b)[Math.floor(samples.length / 10)];
}

/**
 * Time alternatives in turn, one short run each.
 *
 * @param {{ name: string, ops?: number, run: () => void, prepare?: () => void }[]} cases - one `run` does `ops` operations
 *   (default 1) and should take about 10 us; `prepare` goes before it, untimed.
 * @param {number} seconds - for all of them.
 * @returns {{ name: string, ns: number }[]} 10th percentile an operation.
 */
export function compare(cases, seconds) {
  const samples = cases.map(() => []);
  for (const { prepare, run } of cases) {
    for (let i = 0; i < WARM_RUNS; i++) {
      prepare?.();
      run();
    }
  }
  const end = performance.now() + seconds * 1000;
  do {
    for (let i = 0; i < cases.length; i++) {
      const { prepare, run } = cases[i];
      prepare?.();
      const start = process.hrtime();
      run();
      const [s, ns] = process.hrtime(start);
      samples[i].push(s * 1e9 + ns);
    }
  } while (performance.now() < end);
  return cases.map(({ name, ops = 1 }, i) => ({ name, ns: percentile10(samples[i]) / ops }));
}

/** Lines of a table: time an operation, ratio to the first row. */
export function format(title, rows, unit = 'ns') {
  const value = (ns) => (unit === 'us' ? `${(ns / 1000).toFixed(2)} us` : `${ns.toFixed(1)} ns`);
  return [
    `\n${title}`,
    ...rows.map(
      ({ name, ns }) => `  ${name.padEnd(56)} ${value(ns).padStart(10)}   ${(ns / rows[0].ns).toFixed(2)}x`,
    ),
  ];
}

/** Print a table of {@link compare}. */
export function print(title, rows, unit = 'ns') {
  for (const line of format(title, rows, unit)) console.log(line);
}

/**
 * Time the cases of a group and print them: 10th percentile an operation, ratio to the first case.
 *
 * @param {object} group - as in the README.
 * @param {number} seconds - for all of them.
 */
export function runGroup({ title, unit, cases }, seconds, printLine = console.log) {
  const timed = cases.filter(({ ratios = true }) => ratios);
  const rows = compare(
    timed.map(({ name, ops, setup }) => {
      const made = setup();
      return { name, ops, ...(typeof made === 'function' ? { run: made } : made) };
    }),
    seconds,
  );
  for (const line of format(title, rows, unit)) printLine(line);
  return rows;
}

/**
 * Time every group of a scenario file, each in a process of its own: what V8 learns about a function from one group
 * would cost the next one its inlining.
 *
 * @param {string} url - the scenario file, `import.meta.resolve('./scenarios.mjs')`.
 * @param {object[]} groups - what it exports.
 * @param {{ seconds?: number, filter?: string }} options - `seconds` a group (default 1); `filter`: only groups whose
 *   title holds it.
 */
export function runRatios(url, groups, options = {}) {
  const { seconds = 1, filter = '' } = options;
  for (const { title } of groups) {
    if (!title.includes(filter)) continue;
    const { status } = spawnSync(process.execPath, [CHILD, url, title, String(seconds)], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error(`the group ${title} of ${url} failed`);
  }
}
