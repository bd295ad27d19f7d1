import { NO_PFN } from '@gpusvm/dma-iova';
import { type DmaFence, type Errno, PAGE_SIZE, type Task } from '@gpusvm/kernel';
import { MAX_COPY_PAGES } from './config.ts';
import {
  CPU_COPY_US_4K,
  DEVICE_COPY_US_4K,
  SVM_CPU_COPY_KB,
  SVM_CPU_COPY_US,
  SVM_DEVICE_COPY_KB,
  SVM_DEVICE_COPY_US,
  sizeClass,
} from './counters.ts';
import type { DmaEntries } from './res-cursor.ts';
import type { XeDevice } from './xe-device.ts';

/**
 * Called for every maximal piece that one job may copy.
 *
 * @param first - slot of its first page.
 * @param pages - its length.
 * @param dpaFrame - its place in device memory.
 */
export type CopyRunFn = (first: number, pages: number, dpaFrame: number) => Errno;

/**
 * Split two sparse arrays into runs: a run ends at a hole (no page, or address 0), where device memory is not
 * consecutive, at 8 MiB and at the end. Holes belong to no run. (The kernel's version of this, in xe_svm_copy,
 * gets two cases wrong that its callers exclude: quirks Qg and Ql.)
 *
 * @param pages - page-frame numbers of device pages, NO_PFN where there is none.
 * @param addrs - addresses of the system side; a slot of order o stands for 2^o slots.
 * @param dpaFrameOf - place of a device page.
 * @returns 0, or what `run` returned when not 0.
 */
export function forEachCopyRun(
  pages: Float64Array,
  addrs: DmaEntries,
  npages: number,
  dpaFrameOf: (pfn: number) => number,
  run: CopyRunFn,
): Errno {
  let first = 0;
  let frame = 0;
  let length = 0;
  let i = 0;
  while (i < npages) {
    const pfn = pages[i]!;
    const hole = pfn === NO_PFN || addrs.addr[i] === 0;
    const step = hole ? 1 : 1 << addrs.order[i]!;
    const here = hole ? -1 : dpaFrameOf(pfn);
    if (length > 0 && (hole || here !== frame + length || length + step > MAX_COPY_PAGES)) {
      const err = run(first, length, frame);
      if (err !== 0) return err;
      length = 0;
    }
    if (!hole) {
      if (length === 0) {
        first = i;
        frame = here;
      }
      length += step;
    }
    i += step;
  }
  return length > 0 ? run(first, length, frame) : 0;
}

/**
 * Copy between device memory and DMA addresses (xe_svm_copy, xe_svm.c). Sleeps until the data is in place.
 *
 * @param toVram - direction.
 * @param preMigrateFence - waited for before the first byte, by the first job or, without a job, right here.
 * @returns 0; -ENOMEM when a job could not be made; -EIO when a job met a DMA fault.
 */
export function* xeSvmCopy(
  xe: XeDevice,
  pages: Float64Array,
  addrs: DmaEntries,
  npages: number,
  toVram: boolean,
  preMigrateFence: DmaFence | null,
): Task<Errno> {
  const startNs = xe.machine.clock.nowNs;
  const fences: DmaFence[] = [];
  let dependency = preMigrateFence;
  let copied = 0;
  let err = forEachCopyRun(
    pages,
    addrs,
    npages,
    (pfn) => xe.vram.pfnToDpaFrame(pfn),
    (first, length, dpaFrame) => {
      const fence = xe.migrate.copy(addrs, first, length, dpaFrame, toVram, dependency);
      if (typeof fence === 'number') return fence;
      dependency = null;
      fences.push(fence);
      copied += length;
      return 0;
    },
  );
  // Jobs that were made before one failed still use the caller's arrays.
  for (const fence of fences) {
    const failed = yield* fence.wait();
    if (err === 0) err = failed;
  }
  if (dependency !== null) yield* dependency.wait();
  account(xe, copied, npages, toVram, xe.machine.clock.nowNs - startNs);
  return err;
}

function account(xe: XeDevice, copied: number, npages: number, toVram: boolean, ns: number): void {
  const values = xe.counters.values;
  const kb = (copied * PAGE_SIZE) / 1024;
  const us = ns / 1000;
  if (toVram) {
    values[SVM_DEVICE_COPY_KB]! += kb;
    values[SVM_DEVICE_COPY_US]! += us;
    values[DEVICE_COPY_US_4K + sizeClass(npages)]! += us;
  } else {
    values[SVM_CPU_COPY_KB]! += kb;
    values[SVM_CPU_COPY_US]! += us;
    values[CPU_COPY_US_4K + sizeClass(npages)]! += us;
  }
}
