import { DMA_BIDIRECTIONAL } from '@gpusvm/dma-iova';
import { drmGpusvmNotifierFind } from '@gpusvm/drm-gpusvm';
import { PagemapAddrs } from '@gpusvm/drm-pagemap';
import { DEVICE_MAP_TRACE } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { gpuTouches } from './gpu.ts';
import { XE_FIRST, XE_PAGES, type XeBug, type XeWorld } from './xe-bug.ts';

/** Not touched by the CPU, so that a range for it is one page. */
const HOLE = XE_FIRST + XE_PAGES;

/**
 * The driver writes its entries for the device pages as soon as their contents are there, not when it is known which pages
 * migrate. A CPU write into a hole takes its slot out, and its device page is freed while the GPU maps it.
 */
export const XE_S14: XeBug = {
  id: 'XE-S14',
  title: 'device pages are bound before it is known which of them migrate',
  source: 'Documentation/mm/hmm.rst, migrate_vma_pages',
  evidence: 'inferred',
  finds: 'S14',
  untouched: 1,
  patch(w) {
    const ops = w.xe.pagemap!.devmemOps;
    const copyToDevmem = ops.copyToDevmem.bind(ops);
    ops.copyToDevmem = function* (pages, addrs, npages, fence) {
      const err = yield* copyToDevmem(pages, addrs, npages, fence);
      if (err === 0 && npages === 1) bindEarly(w, pages[0]!);
      return err;
    };
  },
  tasks: {
    GPU: (w) => gpuTouches(w, [0, XE_PAGES]),
    CPU: writeIntoHole,
  },
};

function* writeIntoHole({ mm }: XeWorld): Task<void> {
  for (let n = 0; n < 10; n++) {
    for (let i = 0; i < 40; i++) yield { kind: 'sleep', ns: 1000 };
    yield* mm.cpuWrite(HOLE, 7);
    yield* mm.madviseDontneed(HOLE, 1);
  }
}

/** Bind a device page, and tell of it as the driver does. */
function bindEarly({ machine, device, vm, xe }: XeWorld, pfn: number): void {
  const sub = drmGpusvmNotifierFind(vm.svm, HOLE, HOLE + 1);
  if (sub === null) return;
  const addrs = new PagemapAddrs(1);
  xe.pagemap!.ops.deviceMap(xe.pagemap!, device, pfn, 0, DMA_BIDIRECTIONAL, addrs, 0);
  vm.cursor.reset(addrs, 1);
  if (vm.stage.stage(vm.root, HOLE, HOLE + 1, vm.cursor, vm.leafFormat) !== 0) return;
  vm.stage.commit(false);
  machine.trace.point(DEVICE_MAP_TRACE).emit({
    device: `${device.name} ${vm.svm.name}`,
    sub,
    seq: sub.invalidateSeq,
    page: HOLE,
    pfn,
    write: true,
    cpuWrite: true,
    check: 'pages-valid',
  });
}
