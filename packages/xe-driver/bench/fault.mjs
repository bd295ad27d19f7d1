// One 2M fault through the whole stack, and the way back: node bench/fault.mjs [seconds per case]
import { DmaDevice, TagMemory } from '@gpusvm/dma-iova';
import { FolioTable, Mm } from '@gpusvm/hmm';
import { Machine } from '@gpusvm/kernel';
import { XeDevice, XeVm } from '@gpusvm/xe-driver';
import { percentile10, print } from '@gpusvm/bench';

const seconds = Number(process.argv[2] ?? 2);
const BASE = 512 * 4096;
const RANGES = 16;

/** p10 in nanoseconds of one fault, of reading 512 pages by the GPU, and of the way back, over many ranges. */
function measure({ map, iommu, devmem, hugepage, chunkPages }) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 1 << 16 });
  const folios = new FolioTable(machine, memory);
  const device = new DmaDevice(machine, memory, { name: 'gpu0', iommu });
  const xe = new XeDevice(machine, {
    memory,
    folios,
    device,
    vramPages: 1 << 14,
    mapStrategy: map,
    devmem,
    chunkPages,
  });
  const samples = { fault: [], read: [], back: [] };
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const mm = new Mm(machine, folios, { name: 'app' });
    const vm = machine.run(XeVm.create(xe, mm));
    machine.run(mm.mmap(BASE, RANGES * 512, { read: true, write: true, hugepage }));
    machine.run(vm.bindMirror(BASE, RANGES * 512));
    machine.run(
      (function* () {
        for (let page = BASE; page < BASE + RANGES * 512; page++) yield* mm.cpuWrite(page, page);
      })(),
    );
    for (let start = BASE; start < BASE + RANGES * 512; start += 512) {
      const t0 = performance.now();
      machine.run(xe.gpu.gpuAccessRange(vm, start, start + 512, 'write'));
      const t1 = performance.now();
      for (let page = start; page < start + 512; page++)
        if (xe.gpu.tryGpuRead(vm, page) !== page) throw new Error('wrong data');
      const t2 = performance.now();
      machine.run(devmem ? mm.cpuRead(start) : mm.munmap(start, 512));
      samples.fault.push(t1 - t0);
      samples.read.push(t2 - t1);
      samples.back.push(performance.now() - t2);
    }
    machine.run(vm.close());
    machine.run(mm.exit());
  }
  return Object.fromEntries(Object.entries(samples).map(([key, all]) => [key, percentile10(all) * 1e6]));
}

for (const devmem of [false, true]) {
  for (const hugepage of [false, true]) {
    for (const map of ['map-page', 'iova-packed']) {
      const result = measure({ map, iommu: 'strict', devmem, hugepage, chunkPages: [512, 16, 1] });
      const title = `2M, ${hugepage ? 'one folio of 2M' : '512 folios of 4K'}, ${map}, device memory ${devmem}`;
      const rows = [
        { name: 'fault', ns: result.fault },
        { name: '512 GPU reads', ns: result.read },
        { name: devmem ? 'CPU fault brings it back' : 'munmap', ns: result.back },
      ];
      print(title, rows, 'us');
    }
  }
}
