// node bench/instructions.mjs [operation]
// Instructions per operation under valgrind: the slope between two repetition counts, which repeats to 1e-6 and so can
// be a regression gate where wall-clock times cannot. With GPUSVM_BENCH_COUNT set it is the program being measured.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Machine, Mutex, RwSem, schedPoint } from '../dist/index.js';

const OPERATIONS = {
  lock(n) {
    const machine = new Machine();
    const mutex = new Mutex(machine, 'm');
    machine.run(
      (function* () {
        for (let i = 0; i < n; i++) {
          yield* mutex.lock();
          mutex.unlock();
        }
      })(),
    );
  },
  downRead(n) {
    const machine = new Machine();
    const sem = new RwSem(machine, 's');
    machine.run(
      (function* () {
        for (let i = 0; i < n; i++) {
          yield* sem.downRead();
          sem.upRead();
        }
      })(),
    );
  },
  step(n) {
    const machine = new Machine();
    const point = schedPoint('bench');
    machine.run(
      (function* () {
        for (let i = 0; i < n; i++) yield point;
      })(),
    );
  },
};

const VALGRIND = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null'];
const NODE = [
  '--predictable',
  '--predictable-gc-schedule',
  '--single-threaded',
  '--hash-seed=1',
  '--random-seed=1',
];
const FEW = 200_000;
const MANY = 400_000;

function instructions(operation, count) {
  const output = execFileSync(
    'sh',
    [
      '-c',
      '"$@" 2>&1',
      'sh',
      'valgrind',
      ...VALGRIND,
      process.execPath,
      ...NODE,
      fileURLToPath(import.meta.url),
      operation,
    ],
    { env: { ...process.env, GPUSVM_BENCH_COUNT: String(count) }, encoding: 'utf8' },
  );
  const match = /I\s+refs:\s+([\d,]+)/.exec(output);
  if (match === null) throw new Error(`no instruction count in: ${output}`);
  return Number(match[1].replaceAll(',', ''));
}

const wanted = process.argv[2];
const count = process.env.GPUSVM_BENCH_COUNT;
if (count !== undefined) {
  OPERATIONS[wanted](Number(count));
} else {
  for (const operation of wanted === undefined ? Object.keys(OPERATIONS) : [wanted]) {
    const slope = (instructions(operation, MANY) - instructions(operation, FEW)) / (MANY - FEW);
    console.log(`${operation.padEnd(10)} ${slope.toFixed(2)} instructions`);
  }
}
