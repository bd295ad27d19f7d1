// Cost of the mapping strategies per page: map plus unmap of one 2M range, and of a whole migration to device memory
// and back. Alternating short iterations, 10th percentile. Run after a build: node bench/strategies.mjs
import { DMA_TO_DEVICE, DmaDevice, NO_PFN, TagMemory } from '@gpusvm/dma-iova';
import { DevPagemap, FolioTable, Mm } from '@gpusvm/hmm';
import { done, Machine } from '@gpusvm/kernel';
import {
  DrmPagemap,
  DrmPagemapDevmem,
  drmPagemapEvictToRam,
  drmPagemapMigrateToDevmem,
  drmPagemapPagemapOpsGet,
  MAP_STRATEGIES,
  mapStrategy,
  MapState,
  SystemPages,
} from '@gpusvm/drm-pagemap';

const SLOTS = 512;
const ROUNDS = 400;

function nowNs() {
  return performance.now() * 1e6;
}

function p10(samples) {
  return samples.sort((a, b) => a - b)[Math.floor(samples.length / 10)];
}

/** Every slot, two of three, every eighth; one 2M folio. */
const PATTERNS = {
  '512 of 512': () => true,
  '341 of 512': (i) => i % 3 !== 2,
  '64 of 512': (i) => i % 8 === 0,
};

function strategyRig(present) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 2048 });
  const device = new DmaDevice(machine, memory, { name: 'device', iommu: 'strict' });
  const pages = new SystemPages(SLOTS);
  for (let i = 0; i < SLOTS; i++) if (present(i)) pages.push(i, memory.allocPages(0), 0);
  return { device, pages, state: new MapState() };
}

function benchStrategies() {
  for (const [label, present] of Object.entries(PATTERNS)) {
    // The wrong strategy leaks behind the first hole and then cannot link again: only without holes.
    const names = MAP_STRATEGIES.filter(
      (name) => name !== 'iova-holes-one-destroy' || label === '512 of 512',
    );
    const rigs = names.map((name) => ({ name, ...strategyRig(present), samples: [] }));
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, device, pages, state, samples } of rigs) {
        const strategy = mapStrategy(name);
        const start = nowNs();
        const err = strategy.map(device, state, pages, SLOTS, DMA_TO_DEVICE, true);
        strategy.unmap(device, state, pages, DMA_TO_DEVICE);
        samples.push(nowNs() - start);
        if (err !== 0) throw new Error(`${name}: ${err}`);
      }
    }
    for (const { name, pages, samples } of rigs) {
      const ns = p10(samples);
      console.log(
        `${label.padEnd(11)} ${name.padEnd(24)} ${(ns / 1000).toFixed(1).padStart(7)} us  ${(ns / pages.count).toFixed(0).padStart(5)} ns/page`,
      );
    }
  }
}

function migrationRig(huge) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  const folios = new FolioTable(machine, memory);
  const device = new DmaDevice(machine, memory, { name: 'device', iommu: 'strict' });
  const mm = new Mm(machine, folios, { name: 'process' });
  const devPagemap = new DevPagemap(folios, {
    type: 'private',
    owner: {},
    pages: SLOTS,
    ops: drmPagemapPagemapOpsGet(folios),
  });
  const dpagemap = new DrmPagemap(machine, { name: 'bench', device, devPagemap, ops: {} });
  const tags = new Float64Array(SLOTS);
  function copy(pages, addrs, npages, toDevice) {
    for (let i = 0; i < npages; i++) {
      if (pages[i] === NO_PFN || addrs.addr[i] === 0) continue;
      for (let k = 0; k < 1 << addrs.order[i]; k++) {
        const page = pages[i] + k - devPagemap.basePfn;
        if (toDevice) tags[page] = device.readTag(addrs.addr[i] + k * 4096);
        else device.writeTag(addrs.addr[i] + k * 4096, tags[page]);
      }
    }
    return done(0);
  }
  const ops = {
    populateDevmemPfn(_devmem, npages, pfn) {
      for (let i = 0; i < npages; i++) pfn[i] = devPagemap.basePfn + i;
      return 0;
    },
    copyToDevmem: (pages, addrs, npages) => copy(pages, addrs, npages, true),
    copyToRam: (pages, addrs, npages) => copy(pages, addrs, npages, false),
  };
  machine.run(mm.mmap(SLOTS, SLOTS, { read: true, write: true, hugepage: huge }));
  for (let i = 0; i < SLOTS; i++) machine.run(mm.cpuWrite(SLOTS + i, i));
  function* there(devmem) {
    yield* mm.mmapLock.downRead();
    const err = yield* drmPagemapMigrateToDevmem(devmem, mm, SLOTS, 2 * SLOTS, {
      timesliceMs: 0,
      canMigrateSamePagemap: false,
    });
    mm.mmapLock.upRead();
    return err;
  }
  return () => {
    const devmem = new DrmPagemapDevmem(machine, {
      device,
      mm,
      ops,
      dpagemap,
      sizeBytes: SLOTS * 4096,
      preMigrateFence: null,
      mapStrategy: mapStrategy('iova-packed'),
    });
    const start = nowNs();
    const err = machine.run(there(devmem));
    const middle = nowNs();
    const back = machine.run(drmPagemapEvictToRam(devmem));
    const end = nowNs();
    if (err !== 0 || back !== 0) throw new Error(`${err} ${back}`);
    return [middle - start, end - middle];
  };
}

function benchMigration() {
  for (const [label, huge] of [
    ['512 x 4K', false],
    ['1 x 2M', true],
  ]) {
    const round = migrationRig(huge);
    const there = [];
    const back = [];
    for (let i = 0; i < ROUNDS; i++) {
      const [a, b] = round();
      there.push(a);
      back.push(b);
    }
    for (const [what, samples] of [
      ['to device memory', there],
      ['evict to RAM', back],
    ]) {
      const ns = p10(samples);
      console.log(
        `${label.padEnd(9)} ${what.padEnd(17)} ${(ns / 1000).toFixed(1).padStart(7)} us  ${(ns / SLOTS).toFixed(0).padStart(5)} ns/page`,
      );
    }
  }
}

benchStrategies();
benchMigration();
