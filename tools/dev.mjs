// The two commands of the repository, for a machine that has Node and npm and nothing else:
//   node tools/dev.mjs start   build the lab and what it stands on, then run its demo
//   node tools/dev.mjs test    every check of every package; the last line is "N passed, N failed"
//   node tools/dev.mjs vm      the tests in QEMU guests: installs QEMU and builds the kernels when they are missing
//   node tools/dev.mjs ci      both, with one last line
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeMissing } from './vm-harness/missing.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const runsDir = join(root, '.turbo', 'runs');

const TEST_TASKS = [
  'build',
  'typecheck',
  'lint',
  'test',
  'package',
  '//#format:check',
  '//#layers',
  '//#workspace',
];

const env = {
  ...process.env,
  // pnpm asks nothing, property tests use their fixed seed, output has no control sequences.
  CI: process.env.CI || 'true',
  TURBO_TELEMETRY_DISABLED: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
  DO_NOT_TRACK: '1',
  GPUSVM_TEST_REPORT: '1',
  npm_config_update_notifier: 'false',
  npm_config_fund: 'false',
  npm_config_audit: 'false',
};
// Colour is for a terminal; turbo forces it on its tasks otherwise.
if (!process.stdout.isTTY) Object.assign(env, { NO_COLOR: '1', FORCE_COLOR: '0' });
// npm takes an empty HOME for the current directory and would fill the checkout with its cache.
if (env.HOME === '') delete env.HOME;
// Set when npx started us; the npx below would take them for its own.
delete env.npm_config_call;
delete env.npm_config_package;

/** Runs a command with our output, never with our input, and returns its exit status. */
function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.error) console.error(`${command}: ${result.error.message}`);
  return result.status ?? 1;
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => dir && existsSync(join(dir, command)));
}

/** The addon of native-backend is compiled where there is a compiler; guests need it, so there one is installed. */
function prepareCompiler(isNeeded) {
  const canInstall = process.getuid?.() === 0 && isOnPath('apt-get');
  if (isNeeded && !isOnPath('cc') && canInstall) {
    env.DEBIAN_FRONTEND = 'noninteractive';
    const packages = ['gcc', 'libc6-dev'];
    console.log(`installing ${packages.join(' ')}: there is no C compiler named cc`);
    run('apt-get', ['update', '-qq']);
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  }
  // Part of the build's key: what was built without a compiler is not taken for what is built with one.
  env.GPUSVM_ADDON = isNeeded || isOnPath('cc') ? 'compiled' : 'none';
}

/** The command that is exactly the pinned pnpm: the one on PATH if it is that version, else npx fetches it. */
function findPnpm() {
  const pin = manifest.packageManager.replace(/^pnpm@/, '').replace(/\+.*$/, '');
  if (isOnPath('pnpm')) {
    const found = spawnSync('pnpm', ['--version'], { cwd: root, env, encoding: 'utf8', timeout: 20_000 });
    if (found.status === 0 && found.stdout.trim() === pin) return ['pnpm'];
  }
  // --yes: an npmrc may hold yes=false. --allow-scripts: npm 12 blocks install scripts, older npm ignores the flag.
  return ['npx', '--yes', '--allow-scripts=pnpm', `pnpm@${pin}`];
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The packages that `pnpm-workspace.yaml` names: every folder of `packages/` and `tools/` with a manifest. */
function listPackages() {
  return ['packages', 'tools'].flatMap((group) =>
    readdirSync(join(root, group))
      .map((name) => join(root, group, name))
      .filter((dir) => existsSync(join(dir, 'package.json'))),
  );
}

/** Names of vitest's reports: of the tests that run anywhere, and of those in guests. */
const REPORT = 'results.json';
const VM_REPORT = 'vm-results.json';
const reportOf = (packageDir, name) => join(packageDir, '.vitest', name);

/** Adds up vitest's reports. A test file that could not even be loaded counts as one failed test. */
function countTests(reportName) {
  let passed = 0;
  let failed = 0;
  for (const packageDir of listPackages()) {
    const report = readJson(reportOf(packageDir, reportName));
    if (!report) continue;
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    failed += report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    ).length;
  }
  return { passed, failed };
}

/** The tasks that turbo's run summary records as failed. */
function listFailedTasks() {
  if (!existsSync(runsDir)) return [];
  return readdirSync(runsDir)
    .flatMap((name) => readJson(join(runsDir, name))?.tasks ?? [])
    .filter((task) => task.execution && task.execution.exitCode !== 0 && task.execution.exitCode !== null)
    .map((task) => task.taskId);
}

function runTurbo(pnpm, args) {
  return run(pnpm[0], [...pnpm.slice(1), 'exec', 'turbo', 'run', ...args]);
}

function install(pnpm) {
  const status = run(pnpm[0], [...pnpm.slice(1), 'install', '--frozen-lockfile']);
  if (status !== 0) console.error('pnpm install failed');
  return status;
}

function start(pnpm, args) {
  const status =
    install(pnpm) || runTurbo(pnpm, ['build', '--filter=@gpusvm/lab', '--output-logs=errors-only']);
  if (status !== 0) return status;
  const demo = args.length > 0 ? args : ['demo'];
  return run(process.execPath, [join('packages', 'lab', 'dist', 'cli', 'main.js'), ...demo]);
}

/**
 * Runs turbo tasks and counts what they did: tests, and as one failure each check that has no tests.
 *
 * @returns {{ passed: number, failed: number, status: number }}
 */
function runChecks(pnpm, tasks, reportName, args) {
  // Neither a report nor a summary of an earlier run may be counted in this one.
  for (const packageDir of listPackages()) rmSync(reportOf(packageDir, reportName), { force: true });
  rmSync(runsDir, { recursive: true, force: true });

  const installed = install(pnpm);
  const status =
    installed || runTurbo(pnpm, [...tasks, '--continue=dependencies-successful', '--summarize', ...args]);

  const failedTasks = listFailedTasks();
  const tests = countTests(reportName);
  if (failedTasks.length > 0) console.log(`\nfailed checks: ${failedTasks.join(', ')}`);
  // A check that is not a test (types, lint, format, layers, packages) has no test to count: it counts as one.
  const isCounted = (task) => /#test(:vm)?$/.test(task) && tests.failed > 0;
  const failedChecks = failedTasks.filter((task) => !isCounted(task)).length;
  const failed = tests.failed + failedChecks || (status === 0 ? 0 : 1);
  return { passed: tests.passed, failed, status };
}

function runTests(pnpm, args) {
  return runChecks(pnpm, TEST_TASKS, REPORT, ['--output-logs=errors-only', '--concurrency=2', ...args]);
}

/** One package at a time: guests are slow enough alone. */
function runVmTests(pnpm, args) {
  return runChecks(pnpm, ['test:vm'], VM_REPORT, ['--output-logs=new-only', '--concurrency=1', ...args]);
}

/** Prints the sum as the last line, and returns the exit status. */
function report(results) {
  const sum = (field) => results.reduce((total, result) => total + result[field], 0);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
  return sum('failed') > 0 ? results.find((result) => result.failed > 0).status || 1 : 0;
}

function test(pnpm, args) {
  const result = runTests(pnpm, args);
  console.log(`skipped: the tests in guests. ${describeMissing()} 'npm run test:vm' runs them.`);
  return report([result]);
}

function vm(pnpm, args) {
  return report([runVmTests(pnpm, args)]);
}

function ci(pnpm) {
  return report([runTests(pnpm, []), runVmTests(pnpm, [])]);
}

const [command, ...args] = process.argv.slice(2);
const commands = { start, test, vm, ci };
if (!Object.hasOwn(commands, command)) {
  console.error('usage: node tools/dev.mjs start|test|vm|ci [arguments]');
  process.exitCode = 2;
} else {
  prepareCompiler(command === 'vm' || command === 'ci');
  process.exitCode = commands[command](findPnpm(), args);
}
