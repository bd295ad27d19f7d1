import {
  EBUSY,
  EFAULT,
  EINTR,
  ENOMEM,
  EOPNOTSUPP,
  type Pfn,
  type SchedPoint,
  type Task,
  schedPoint,
} from '@gpusvm/kernel';
import { handleMmFault } from './cpu-fault.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import { PTE_EXCLUSIVE, PTE_KIND, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { splitHugePmd } from './split-pmd.ts';
import { DEVICE_EXCLUSIVE } from './tracepoints.ts';
import { VM_FAULT_OOM } from './vm-fault.ts';

const LOCK: SchedPoint = schedPoint('make_device_exclusive: folio lock');
const WRITABLE_MASK = PTE_KIND | PTE_WRITE | PTE_PROTNONE;
const WRITABLE = PTE_PRESENT | PTE_WRITE;

/**
 * Take a page away from the CPU so that a device can do atomic operations on it (make_device_exclusive, mm/rmap.c). The
 * page is faulted in writable, a PMD mapping is split (the folio stays large), and the entry becomes device-exclusive
 * after an EXCLUSIVE notification with the owner. The next CPU access waits for the folio lock and then ends the
 * exclusivity.
 *
 * The mmap lock is held for reading. May sleep.
 *
 * @param mm - the address space.
 * @param page - virtual page.
 * @param owner - passed in the notification, so that the driver can tell its own.
 * @returns the page, whose folio is locked and referenced for the caller; -EFAULT where the process may not write; -ENOMEM without memory for the fault;
 * -EOPNOTSUPP for memory that is not anonymous, or hugetlb; -EINTR (fault site `hmm.fatal_signal`); in 6.12 -EBUSY for
 * a part of a large folio, whose mapping is split all the same, or a busy folio lock.
 */
export function* makeDeviceExclusive(mm: Mm, page: number, owner: object): Task<Pfn> {
  const { folios } = mm;
  const old = mm.machine.profile.hmm.exclusiveThp === 'split-busy';
  mm.mmapLock.assertHeld();
  for (;;) {
    const pfn = yield* faultWritable(mm, page);
    if (pfn < 0) return pfn;
    const head = folios.head(pfn);
    if ((folios.flags[head]! & FOLIO_ANON) === 0 || mm.vmas.lookup(page)!.hugetlb) return -EOPNOTSUPP;
    if (old && (folios.order(head) !== 0 || folios.isLocked(head))) return -EBUSY;
    folios.get(head);
    if (mm.machine.scheduler.preemptive) yield LOCK;
    if (folios.signalSite.shouldFail()) {
      folios.put(head);
      return -EINTR;
    }
    yield* folios.lock(head);
    if (yield* exclude(mm, page, pfn, owner)) return pfn;
    folios.unlock(head);
    folios.put(head);
  }
}

/** get_user_pages_remote with FOLL_WRITE | FOLL_SPLIT_PMD: a leaf is split before anybody looks whether it is writable. */
function* faultWritable(mm: Mm, page: number): Task<Pfn> {
  for (;;) {
    const vma = mm.vmas.lookup(page);
    if (vma === null || !vma.read || !vma.write || vma.io) return -EFAULT;
    const bits = mm.entryBits(page);
    const kind = bits & PTE_KIND;
    if ((kind === PTE_PRESENT || kind === PTE_ZERO) && mm.isPmdMapped(page) && !vma.hugetlb) {
      yield* splitHugePmd(mm, page);
    } else if ((bits & WRITABLE_MASK) !== WRITABLE) {
      const code = yield* handleMmFault(mm, vma, page, true);
      if (code !== 0) return code === VM_FAULT_OOM ? -ENOMEM : -EFAULT;
    } else {
      return mm.pfnAt(page);
    }
  }
}

/** The entry is looked at again under the notification; false when it has changed. */
function* exclude(mm: Mm, page: number, pfn: Pfn, owner: object): Task<boolean> {
  const range: MmuNotifierRange = {
    event: 'EXCLUSIVE',
    startPage: page,
    endPage: page + 1,
    owner,
    blockable: true,
  };
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  const node = mm.pageTable.nodeOf(page);
  const slot = page & 511;
  const same =
    node !== null &&
    node.huge === 0 &&
    node.pfn[slot] === pfn &&
    (node.bits[slot]! & WRITABLE_MASK) === WRITABLE;
  if (same) {
    node.bits[slot] = (node.bits[slot]! & ~PTE_KIND) | PTE_EXCLUSIVE;
    const point = mm.machine.trace.point(DEVICE_EXCLUSIVE);
    if (point.enabled) point.emit({ mm: mm.name, page, pfn, on: true });
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  return same;
}
