import { EFAULT, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import { CPU_FAULT } from './counters.ts';
import { handleMmFault } from './cpu-fault.ts';
import type { Mm } from './mm.ts';
import { VM_FAULT_OOM, VM_FAULT_RETRY } from './vm-fault.ts';

/**
 * A CPU load. Sleeps only when it faults.
 *
 * @returns the content tag; -EFAULT where the process would get SIGSEGV or SIGBUS, -ENOMEM where the OOM killer would
 * come.
 */
export function* cpuRead(mm: Mm, page: number): Task<number> {
  for (;;) {
    const tag = mm.tryReadTag(page);
    if (tag >= 0) return tag;
    const err = yield* cpuFault(mm, page, false);
    if (err !== 0) return err;
  }
}

/**
 * A CPU store of a whole page. Sleeps only when it faults.
 *
 * @param tag - what the page contains afterwards, not negative.
 * @returns 0, -EFAULT or -ENOMEM as {@link cpuRead}.
 */
export function* cpuWrite(mm: Mm, page: number, tag: number): Task<Errno> {
  while (!mm.tryWriteTag(page, tag)) {
    const err = yield* cpuFault(mm, page, true);
    if (err !== 0) return err;
  }
  return 0;
}

/** exc_page_fault: find the VMA under the mmap lock and handle the fault once. */
function* cpuFault(mm: Mm, page: number, write: boolean): Task<Errno> {
  mm.folios.counters.values[CPU_FAULT]!++;
  if (!mm.mmapLock.tryDownRead()) yield* mm.mmapLock.downRead();
  let code = -1;
  try {
    const vma = mm.vmas.lookup(page);
    if (vma !== null) code = yield* handleMmFault(mm, vma, page, write, true);
  } finally {
    if (code !== VM_FAULT_RETRY) mm.mmapLock.upRead();
  }
  if (mm.faultTrace.enabled) mm.faultTrace.emit({ mm: mm.name, page, write, code });
  if (code === 0 || code === VM_FAULT_RETRY) return 0;
  return code === VM_FAULT_OOM ? -ENOMEM : -EFAULT;
}
