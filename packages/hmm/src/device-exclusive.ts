import { EBUSY, EINTR, EOPNOTSUPP, type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { makeDeviceExclusiveRange } from './device-exclusive-range.ts';
import { exclusiveIsUnmapped, setExclusive } from './exclusive-entry.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import { faultWritable, WRITABLE, WRITABLE_MASK } from './gup-writable.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';
import { DEVICE_EXCLUSIVE } from './tracepoints.ts';

const LOCK: SchedPoint = schedPoint('make_device_exclusive: folio lock');

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
 * @returns the page, whose folio is locked and referenced for the caller; -EFAULT where the process may not write; -ENOMEM
 * without memory for the fault;
 * -EOPNOTSUPP for memory that is not anonymous, or hugetlb; -EINTR (fault site `hmm.fatal_signal`). 6.12 has
 * {@link makeDeviceExclusiveRange} instead: there this is a range of one page, and -EBUSY where that refuses it.
 */
export function* makeDeviceExclusive(mm: Mm, page: number, owner: object): Task<Pfn> {
  const { folios } = mm;
  if (exclusiveIsUnmapped(folios)) {
    const one = new Float64Array(1);
    const taken = yield* makeDeviceExclusiveRange(mm, page, one, owner);
    return taken < 0 ? taken : one[0]! < 0 ? -EBUSY : one[0]!;
  }
  mm.mmapLock.assertHeld();
  for (;;) {
    const pfn = yield* faultWritable(mm, page);
    if (pfn < 0) return pfn;
    const head = folios.head(pfn);
    if ((folios.flags[head]! & FOLIO_ANON) === 0 || mm.vmas.lookup(page)!.hugetlb) return -EOPNOTSUPP;
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
    setExclusive(mm.folios, node, slot);
    const point = mm.machine.trace.point(DEVICE_EXCLUSIVE);
    if (point.enabled) point.emit({ mm: mm.name, page, pfn, on: true });
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  return same;
}
