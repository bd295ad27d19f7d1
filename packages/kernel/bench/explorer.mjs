// node bench/explorer.mjs   (after a build: it measures dist)
// Scheduler steps a second of an exhaustive search: with everything, and without making the machine and its tasks.
import { ExhaustiveSearch, Machine, Mutex, SharedCell, schedPoint } from '../dist/index.js';

const POINT = schedPoint('bench');

/**
 * Steps over a shared cell, and a mutex taken every eighth step. Out here on purpose: every generator function that is made
 * anew for each run gets a hidden class of its own, in old space, which costs several times the run itself.
 */
function* stepper(cell, mutex, steps) {
  for (let i = 0; i < steps; i++) {
    if (i % 8 === 7) {
      if (!mutex.tryLock()) yield* mutex.lock();
      mutex.unlock();
    } else {
      cell.set(cell.get() + 1);
    }
    yield POINT;
  }
}

/** `tasks` tasks of `steps` steps over as many shared cells. */
function program(strategy, tasks, steps) {
  const before = performance.now();
  const machine = new Machine({ strategy });
  const mutex = new Mutex(machine, 'm');
  const cells = Array.from({ length: tasks }, () => new SharedCell(machine.scheduler, 0));
  for (let i = 0; i < tasks; i++) machine.spawn(stepper(cells[i], mutex, steps), `task ${i}`);
  setupMs += performance.now() - before;
  machine.drain();
}
let setupMs = 0;

function measure(title, options, tasks, steps, mostSteps) {
  for (const warm of [true, false]) {
    setupMs = 0;
    const search = new ExhaustiveSearch(options);
    const before = performance.now();
    let runs = 0;
    do {
      search.run((strategy) => program(strategy, tasks, steps));
      runs++;
    } while (search.steps < (warm ? mostSteps / 4 : mostSteps) && search.next());
    const ms = performance.now() - before;
    if (warm) continue;
    const rate = (time) => (search.steps / time / 1000).toFixed(2).padStart(6);
    console.log(
      `${title.padEnd(44)} ${rate(ms)} M steps/s with set-up, ${rate(ms - setupMs)} without; ` +
        `${runs} runs of ${(search.steps / runs).toFixed(0)} steps, ${((setupMs * 1e6) / runs).toFixed(0)} ns set-up each`,
    );
  }
}

const N = 4_000_000;
measure('reduced, 2 tasks of 100 steps', { undeclared: 'nothing' }, 2, 100, N);
measure('reduced, 3 tasks of 30 steps', { undeclared: 'nothing' }, 3, 30, N);
measure('reduced, 2 tasks of 12 steps', { undeclared: 'nothing' }, 2, 12, N);
measure('unreduced, 2 tasks of 100 steps', { reduce: false }, 2, 100, N);
measure('unreduced, 3 tasks of 30 steps', { reduce: false }, 3, 30, N);
measure('unreduced, 2 tasks of 12 steps', { reduce: false }, 2, 12, N);
