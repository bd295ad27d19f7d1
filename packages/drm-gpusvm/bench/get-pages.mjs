/**
 * What get_pages costs beside HMM and DMA: the whole call, and the same work of the layers below done directly, in
 * alternation. Run after a build: node bench/get-pages.mjs
 */
import { DMA_BIDIRECTIONAL, DmaDevice, TagMemory } from '@gpusvm/dma-iova';
import {
  drmGpusvmGetPages,
  drmGpusvmInit,
  DrmGpusvmPages,
  drmGpusvmRangeFindOrInsert,
  drmGpusvmUnmapPages,
} from '@gpusvm/drm-gpusvm';
import { MapState, mapStrategy, SystemPages } from '@gpusvm/drm-pagemap';
import { FolioTable, HmmPfns, hmmRangeFaultUnlockedTimeout, Mm, mmuIntervalReadBegin } from '@gpusvm/hmm';
import { Machine } from '@gpusvm/kernel';

const CTX = {
  devicePrivatePageOwner: null,
  checkPagesThreshold: 0,
  timesliceMs: 0,
  inNotifier: false,
  readOnly: false,
  devmemPossible: false,
  devmemOnly: false,
  allowMixed: false,
};

/** A warm machine whose range of `pages` pages is populated with single pages, or one huge page. */
function rig(pages, strategyName, hugepage) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 65536 });
  const mm = new Mm(machine, new FolioTable(machine, memory), { name: 'process' });
  const device = new DmaDevice(machine, memory, { name: 'gpu', iommu: 'strict' });
  const strategy = mapStrategy(strategyName);
  const svmPages = new DrmGpusvmPages(device, strategy);
  const svm = drmGpusvmInit(machine, {
    name: 'svm',
    mm,
    startPage: 0,
    pages: 2 ** 30,
    notifierPages: 131072,
    ops: {
      invalidate() {
        throw new Error('nothing is invalidated here');
      },
    },
    chunkPages: pages === 1 ? [1] : [pages, 1],
  });
  machine.run(mm.mmap(512, 512, { read: true, write: true, hugepage }));
  for (let page = 512; page < 512 + pages; page++) machine.run(mm.cpuWrite(page, page));
  const range = machine.run(drmGpusvmRangeFindOrInsert(svm, 512, 0, 2 ** 30, CTX));
  const { notifier, startPage, endPage } = range;
  const pfns = new HmmPfns(512);
  const system = new SystemPages(512);
  const state = new MapState();
  function* whole() {
    const err = yield* drmGpusvmGetPages(svm, svmPages, mm, notifier, startPage, endPage, CTX);
    if (err !== 0) throw new Error(`errno ${err}`);
    yield* drmGpusvmUnmapPages(svm, svmPages, pages, CTX);
  }
  machine.run(drmGpusvmGetPages(svm, svmPages, mm, notifier, startPage, endPage, CTX));
  const { addrs } = svmPages;
  const entries = addrs.count;
  const orders = addrs.order.slice(0, entries);
  machine.run(drmGpusvmUnmapPages(svm, svmPages, pages, CTX));
  function* below() {
    const request = {
      notifier,
      notifierSeq: yield* mmuIntervalReadBegin(notifier),
      startPage,
      endPage,
      pfns,
      defaultFlags: 3,
      pfnFlagsMask: 0,
      devPrivateOwner: null,
    };
    const err = yield* hmmRangeFaultUnlockedTimeout(mm, request, 1e9);
    if (err !== 0) throw new Error(`errno ${err}`);
    if (system.count === 0)
      for (let j = 0, i = 0; j < entries; i += 1 << orders[j++]) system.push(i, pfns.pfn[i], orders[j]);
    strategy.map(device, state, system, pages, DMA_BIDIRECTIONAL, true);
    strategy.unmap(device, state, system, DMA_BIDIRECTIONAL);
  }
  return { whole: () => machine.run(whole()), below: () => machine.run(below()), entries };
}

function alternate(a, b, seconds) {
  const samples = [[], []];
  for (let warm = 0; warm < 500; warm++) {
    a();
    b();
  }
  const end = process.hrtime.bigint() + BigInt(seconds * 1e9);
  while (process.hrtime.bigint() < end) {
    for (const [i, run] of [a, b].entries()) {
      const t0 = process.hrtime();
      run();
      const [s, ns] = process.hrtime(t0);
      samples[i].push(s * 1e9 + ns);
    }
  }
  return samples.map((list) => list.sort((x, y) => x - y)[Math.floor(list.length / 10)] / 1000);
}

console.log('get_pages + unmap_pages, microseconds (p10): whole, HMM + strategy alone, difference, ratio');
for (const [pages, hugepage] of [
  [512, false],
  [512, true],
  [16, false],
  [1, false],
]) {
  for (const name of ['iova-packed', 'map-page']) {
    const { whole, below, entries } = rig(pages, name, hugepage);
    const [w, b] = alternate(whole, below, 1.5);
    const title = `${pages} pages, ${entries} entries, ${name}`;
    console.log(
      `  ${title.padEnd(36)} ${w.toFixed(1).padStart(7)} ${b.toFixed(1).padStart(7)} ${(w - b).toFixed(1).padStart(7)} ${(w / b).toFixed(2)}x`,
    );
  }
}
