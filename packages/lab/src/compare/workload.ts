import { NO_TAG } from '@gpusvm/dma-iova';
import { alignDown, type Errno, errnoName, HPAGE_PMD_NR, type Task } from '@gpusvm/kernel';
import { cpuTag, gpuTag } from './content.ts';
import type { DataCheck } from './result.ts';
import type { Simulation } from './simulation.ts';

/** Counts pages compared and remembers the first that is wrong. */
export class DataChecker {
  pagesChecked = 0;
  mismatches = 0;
  firstMismatch: string | null = null;

  /** Compare the tag found at a virtual page with the one that must be there. */
  check(who: string, page: number, found: number, expected: number): void {
    this.pagesChecked++;
    if (found === expected) return;
    this.mismatches++;
    this.firstMismatch ??=
      found < 0
        ? `${who} access of page 0x${page.toString(16)} failed with ${errnoName(found)}`
        : `the ${who} reads tag ${found} at page 0x${page.toString(16)}, where ${expected} was written`;
  }

  result(): DataCheck {
    const { pagesChecked, mismatches, firstMismatch } = this;
    return { pagesChecked, mismatches, firstMismatch };
  }
}

/**
 * The GPU reads every captured page in address order, faulting it in, and writes every page that it may write. Where
 * a fault cannot be served, the other pages of the same 2 MiB are not tried again: they count as wrong.
 */
export function* gpuPass({ xe, vm, participants }: Simulation, checker: DataChecker): Task<void> {
  const { gpu } = xe;
  let failedUntil = 0;
  let failure: Errno = 0;
  for (const { vma, startPage, pages, firstIndex, zero } of participants.stretches) {
    for (let i = 0; i < pages; i++) {
      const page = startPage + i;
      const untouched = zero ? 0 : cpuTag(firstIndex + i);
      const written = gpuTag(firstIndex + i);
      if (page < failedUntil) {
        checker.check('GPU', page, failure, untouched);
        continue;
      }
      let tag = gpu.tryGpuRead(vm, page);
      if (tag === NO_TAG) tag = yield* gpu.gpuRead(vm, page);
      checker.check('GPU', page, tag, untouched);
      if (tag >= 0 && vma.prot.write && !gpu.tryGpuWrite(vm, page, written)) {
        const err = yield* gpu.gpuWrite(vm, page, written);
        if (err !== 0) checker.check('GPU', page, err, written);
      }
      if (tag < 0) {
        failure = tag;
        failedUntil = alignDown(page, HPAGE_PMD_NR) + HPAGE_PMD_NR;
      }
    }
  }
}

/** The CPU reads every captured page, which brings it back from the device. */
export function* cpuPass({ mm, participants }: Simulation, checker: DataChecker): Task<void> {
  for (const { vma, startPage, pages, firstIndex, zero } of participants.stretches) {
    for (let i = 0; i < pages; i++) {
      const page = startPage + i;
      let tag = mm.tryReadTag(page);
      if (tag === NO_TAG) tag = yield* mm.cpuRead(page);
      const untouched = zero ? 0 : cpuTag(firstIndex + i);
      checker.check('CPU', page, tag, vma.prot.write ? gpuTag(firstIndex + i) : untouched);
    }
  }
}

/** Unmap the process piece by piece under the GPU, then take everything down. */
export function* tearDown({ mm, xe, vm, participants }: Simulation): Task<void> {
  for (const vma of participants.vmas) {
    const err = yield* mm.munmap(vma.startPage, vma.endPage - vma.startPage);
    if (err !== 0) throw new Error(`munmap of page ${vma.startPage} failed: ${errnoName(err)}`);
  }
  yield* vm.close();
  yield* mm.exit();
  yield* xe.destroy();
}
