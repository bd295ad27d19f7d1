// node bench/kernel.mjs   (after a build: it measures dist)
// Alternating short iterations, 10th percentile, ratio to the first alternative of the group.
import {
  Completion,
  defineTracepoint,
  done,
  IntervalTree,
  Machine,
  Mutex,
  random,
  runToCompletion,
  RwSem,
  schedPoint,
  timed,
} from '../dist/index.js';

const ROUNDS = 2000;
const WARM_UP = 300;

/** @param {Record<string, { ops: number, run: () => void }>} alternatives - `ops` operations per call of `run`. */
function compare(title, alternatives) {
  const names = Object.keys(alternatives);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS + WARM_UP; round++) {
    for (const name of names) {
      const { run, ops } = alternatives[name];
      const before = performance.now();
      run();
      const ns = ((performance.now() - before) * 1e6) / ops;
      if (round >= WARM_UP) samples[name].push(ns);
    }
  }
  const p10 = Object.fromEntries(
    names.map((name) => [name, samples[name].toSorted((a, b) => a - b)[Math.floor(ROUNDS / 10)]]),
  );
  console.log(title);
  for (const name of names) {
    console.log(
      `  ${name.padEnd(44)} ${p10[name].toFixed(1).padStart(8)} ns  x${(p10[name] / p10[names[0]]).toFixed(2)}`,
    );
  }
}

const N = 200;

/** Runs `body`, a generator function that does N operations, as a task. */
const asTask = (machine, body) => ({ ops: N, run: () => machine.run(body()) });

function locks() {
  const machine = new Machine();
  const mutex = new Mutex(machine, 'm');
  const sem = new RwSem(machine, 's');
  const completion = new Completion(machine, 'c');
  completion.completeAll();
  function* generatorLock() {
    while (!mutex.tryLock()) yield null;
  }
  compare('uncontended, per pair', {
    'tryLock, unlock': asTask(machine, function* () {
      for (let i = 0; i < N; i++) {
        if (!mutex.tryLock()) yield* mutex.lock();
        mutex.unlock();
      }
    }),
    'yield* lock, unlock': asTask(machine, function* () {
      for (let i = 0; i < N; i++) {
        yield* mutex.lock();
        mutex.unlock();
      }
    }),
    'the same with a generator for lock': asTask(machine, function* () {
      for (let i = 0; i < N; i++) {
        yield* generatorLock();
        mutex.unlock();
      }
    }),
    'yield* downRead, upRead': asTask(machine, function* () {
      for (let i = 0; i < N; i++) {
        yield* sem.downRead();
        sem.upRead();
      }
    }),
    'yield* downWrite, upWrite': asTask(machine, function* () {
      for (let i = 0; i < N; i++) {
        yield* sem.downWrite();
        sem.upWrite();
      }
    }),
    'yield* wait of a completed completion': asTask(machine, function* () {
      for (let i = 0; i < N; i++) yield* completion.wait();
    }),
  });
}

function steps() {
  const point = schedPoint('bench');
  function* stepper(n) {
    for (let i = 0; i < n; i++) yield point;
  }
  const tasks = (strategy, count) => ({
    ops: 2000,
    run: () => {
      const machine = new Machine({ strategy });
      for (let i = 0; i < count; i++) machine.spawn(stepper(2000 / count), 'stepper');
      machine.drain();
    },
  });
  compare('one step of the scheduler', {
    'run to completion, 2 tasks': tasks(runToCompletion(), 2),
    'run to completion, 20 tasks': tasks(runToCompletion(), 20),
    'run to completion, 1000 tasks of 2 steps': tasks(runToCompletion(), 1000),
    'random, 20 tasks': tasks(random(), 20),
  });
  const sleepers = (strategy, count) => ({
    ops: 2000,
    run: () => {
      const machine = new Machine({ strategy });
      function* charged(ns) {
        for (let i = 0; i < 2000 / count; i++) {
          machine.scheduler.charge(ns);
          yield point;
        }
      }
      for (let i = 0; i < count; i++) machine.spawn(charged(7 + i), 'charged');
      machine.drain();
    },
  });
  compare('one step with time charged', {
    'timed, 2 tasks': sleepers(timed(), 2),
    'timed, 20 tasks': sleepers(timed(), 20),
    'timed, 200 tasks': sleepers(timed(), 200),
  });
  const machine = new Machine();
  compare('a task', {
    'spawn and run of an empty task': {
      ops: N,
      run: () => {
        for (let i = 0; i < N; i++) machine.run(done(0));
      },
    },
  });
}

function observability() {
  const machine = new Machine();
  const off = machine.trace.point(defineTracepoint('off'));
  const onDef = defineTracepoint('on');
  const on = machine.trace.point(onDef);
  const group = machine.counters.group('bench', ['a', 'b']);
  const site = machine.faultInjection.site('bench');
  const values = group.values;
  let heard = 0;
  machine.trace.on(onDef, (event) => {
    heard += event.pfn;
  });
  const OPS = 2000;
  const loop = (body) => ({
    ops: OPS,
    run: () => {
      for (let i = 0; i < OPS; i++) body(i);
    },
  });
  compare('observability', {
    'counter update': loop(() => {
      values[1]++;
    }),
    'tracepoint, nobody listens': loop((i) => {
      if (off.enabled) off.emit({ pfn: i });
      values[1]++;
    }),
    'tracepoint, one listener': loop((i) => {
      if (on.enabled) on.emit({ pfn: i });
    }),
    'fault site, nothing armed': loop(() => {
      if (site.shouldFail()) values[0]++;
    }),
    'choose(7)': loop(() => {
      values[0] += machine.choose(7);
    }),
  });
  if (heard < 0) throw new Error('the listener was optimised away');
}

function trees() {
  const search = (count) => {
    const tree = new IntervalTree(
      (i) => i.start,
      (i) => i.last,
    );
    for (let i = 0; i < count; i++) tree.insert({ start: i * 16, last: i * 16 + 20 });
    let at = 1;
    return {
      ops: N,
      run: () => {
        for (let i = 0; i < N; i++) {
          at = (at * 16807) % 2147483647;
          const start = (at % count) * 16;
          tree.next(tree.first(start, start + 40), start, start + 40);
        }
      },
    };
  };
  compare('interval tree, first and next', { '100 items': search(100), '10,000 items': search(10_000) });
  const churn = (count) => {
    const tree = new IntervalTree(
      (i) => i.start,
      (i) => i.last,
    );
    const items = Array.from({ length: count }, (_, i) => ({ start: i * 16, last: i * 16 + 20 }));
    for (const item of items) tree.insert(item);
    let at = 1;
    return {
      ops: N,
      run: () => {
        for (let i = 0; i < N; i++) {
          at = (at * 16807) % 2147483647;
          const item = items[at % count];
          tree.remove(item);
          tree.insert(item);
        }
      },
    };
  };
  compare('interval tree, remove and insert', { '100 items': churn(100), '10,000 items': churn(10_000) });
}

locks();
steps();
observability();
trees();
