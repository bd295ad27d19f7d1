// Core costs of the package: run with `node bench/hmm.mjs` after a build. Every case is timed in single short
// iterations, the cases in turn, and the 10th percentile is reported, so that a busy machine disturbs little.
import { Machine } from '@gpusvm/kernel';
import { TagMemory } from '@gpusvm/dma-iova';
import {
  DevPagemap,
  FolioTable,
  HmmPfns,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
  MigrateVma,
  Mm,
  MmuIntervalNotifier,
  hmmRangeFault,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  mmuIntervalNotifierInsert,
  mmuIntervalReadBegin,
  mmuIntervalSetSeq,
  zoneDevicePageInit,
} from '@gpusvm/hmm';

const PAGES = 512;
const ROUNDS = Number(process.argv[2] ?? 3000);
const machine = new Machine();
const memory = new TagMemory(machine, { pages: 1 << 16 });
const folios = new FolioTable(machine, memory);
const mm = new Mm(machine, folios, { name: 'bench' });
const owner = {};
const zdd = {};
const ops = {
  *migrateToRam() {
    return 0;
  },
  folioFree() {},
  folioSplit() {},
};
const device = new DevPagemap(folios, { type: 'private', owner, pages: 4096, ops });
const sub = new MmuIntervalNotifier();
const SMALL = 512 * 10;
const HOLES = 512 * 20;
const HUGE = 512 * 30;
const src = new MigratePfns(PAGES);
const dst = new MigratePfns(PAGES);
const pfns = new HmmPfns(PAGES);

function* invalidate(notifier, _range, seq) {
  mmuIntervalSetSeq(notifier, seq);
  return true;
}

function* setUp() {
  yield* mm.mmap(SMALL, PAGES, { read: true, write: true });
  yield* mm.mmap(HOLES, PAGES, { read: true, write: true });
  yield* mm.mmap(HUGE, PAGES, { read: true, write: true, hugepage: true });
  for (let i = 0; i < PAGES; i++) yield* mm.cpuWrite(SMALL + i, i + 1);
  for (let i = 0; i < PAGES; i++) yield* mm.cpuWrite(HUGE + i, i + 1);
  yield* mmuIntervalNotifierInsert(sub, mm, SMALL, 512 * 64, { invalidate });
}

function* rangeFault(startPage, defaultFlags) {
  const notifierSeq = yield* mmuIntervalReadBegin(sub);
  yield* mm.mmapLock.downRead();
  const range = {
    notifier: sub,
    notifierSeq,
    startPage,
    endPage: startPage + PAGES,
    pfns,
    defaultFlags,
    pfnFlagsMask: 0,
    devPrivateOwner: owner,
  };
  const err = yield* hmmRangeFault(mm, range);
  mm.mmapLock.upRead();
  if (err !== 0) throw new Error(`fault gave ${err}`);
}

function* migrate(startPage, flags, fill) {
  yield* mm.mmapLock.downRead();
  const vma = mm.vmaLookup(startPage);
  const args = new MigrateVma({
    mm,
    vma,
    startPage,
    endPage: startPage + PAGES,
    src,
    dst,
    pgmapOwner: owner,
    flags,
  });
  const err = yield* migrateVmaSetup(args);
  if (err !== 0 || args.cpages === 0) throw new Error(`setup gave ${err}, ${args.cpages} pages`);
  const filled = now();
  fill();
  fillNs += now() - filled;
  yield* migrateVmaPages(args);
  yield* migrateVmaFinalize(args);
  mm.mmapLock.upRead();
}

/** What is around every case: a task, the mmap lock, the clock read four times. */
function* nothing() {
  yield* mm.mmapLock.downRead();
  const filled = now();
  fillNs += now() - filled;
  mm.mmapLock.upRead();
}

/** Forks of a process with 262144 written pages; the child exits outside of the time. */
function forkTimes() {
  const pages = 1 << 18;
  const big = new Machine();
  const table = new FolioTable(big, new TagMemory(big, { pages: pages + 4096 }));
  const parent = new Mm(big, table, { name: 'parent' });
  const times = [];
  big.run(
    (function* () {
      yield* parent.mmap(512, pages, { read: true, write: true });
      for (let i = 0; i < pages; i++) yield* parent.cpuWrite(512 + i, i + 1);
      for (let round = 0; round < 30; round++) {
        const start = now();
        const child = yield* parent.fork('child');
        times.push(now() - start);
        yield* child.exit();
      }
    })(),
  );
  return times;
}

let fillNs = 0;
/** What asking for the time takes; every sample has it twice, around the case and around filling `dst`. */
let timerNs = 0;
const now = () => Number(process.hrtime.bigint());

function toDevice() {
  for (let i = 0; i < PAGES; i++) {
    const pfn = device.basePfn + i;
    zoneDevicePageInit(folios, pfn, device, 0, zdd);
    dst.set(i, pfn);
  }
}

function toRam() {
  for (let i = 0; i < PAGES; i++) {
    const pfn = folios.allocFolio(0);
    folios.trylock(pfn);
    dst.set(i, pfn);
  }
}

function toDeviceHuge() {
  zoneDevicePageInit(folios, device.basePfn + 512, device, 9, zdd);
  dst.set(0, device.basePfn + 512, MIGRATE_PFN_COMPOUND);
}

function toRamHuge() {
  const pfn = folios.allocFolio(9);
  folios.trylock(pfn);
  dst.set(0, pfn, MIGRATE_PFN_COMPOUND);
}

const SYSTEM = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
const DEVICE = MIGRATE_VMA_SELECT_DEVICE_PRIVATE | MIGRATE_VMA_SELECT_COMPOUND;
const cases = {
  'a task that does nothing': nothing,
  'snapshot of 512 present pages': () => rangeFault(SMALL, 0),
  'fault of 512 absent pages': () => rangeFault(HOLES, 3),
  'munmap-like zap of 512 pages': () => mm.madviseDontneed(HOLES, PAGES),
  'migrate 512 pages there': () => migrate(SMALL, SYSTEM, toDevice),
  'migrate 512 pages back': () => migrate(SMALL, DEVICE, toRam),
  'migrate a 2M folio there': () => migrate(HUGE, SYSTEM, toDeviceHuge),
  'migrate a 2M folio back': () => migrate(HUGE, DEVICE, toRamHuge),
};

function timeTimer() {
  const times = [];
  for (let i = 0; i < 20_000; i++) {
    const start = now();
    times.push(now() - start);
  }
  times.sort((a, b) => a - b);
  return times[times.length / 10];
}

machine.run(setUp());
timerNs = timeTimer();
const samples = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(cases)) {
    fillNs = 0;
    const start = now();
    machine.run(run());
    samples[name].push(now() - start - fillNs - (fillNs > 0 ? 2 : 1) * timerNs);
  }
}
samples['fork of 1 GiB of single pages'] = forkTimes();
const p10 = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 10)] / 1000;
const around = p10(samples['a task that does nothing']);
console.log(`${''.padEnd(32)} ${'p10'.padStart(11)} ${'of it work'.padStart(11)}`);
for (const [name, times] of Object.entries(samples)) {
  const all = p10(times);
  const work = name in cases ? all - around : all;
  console.log(`${name.padEnd(32)} ${all.toFixed(2).padStart(8)} us ${work.toFixed(2).padStart(8)} us`);
}
