import type { Task } from '@gpusvm/kernel';
import { EXCLUSIVE_REVOKE } from './counters.ts';
import { restoreExclusive } from './exclusive-entry.ts';
import { lockOrRetry } from './lock-or-retry.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import { PTE_EXCLUSIVE, PTE_KIND } from './pte.ts';
import { DEVICE_EXCLUSIVE } from './tracepoints.ts';
import { VM_FAULT_RETRY } from './vm-fault.ts';
import type { Vma } from './vma.ts';

/**
 * The CPU, or another device, wants a page that one device has for itself (remove_device_exclusive_entry): wait for
 * the folio lock, tell the subscriptions (CLEAR; EXCLUSIVE without owner in 6.12), and make the entry present again.
 * Does nothing when the entry has changed meanwhile. May sleep.
 *
 * @returns 0, or VM_FAULT_RETRY when the mmap lock was dropped.
 */
export function* removeDeviceExclusive(mm: Mm, vma: Vma, page: number, mayDrop: boolean): Task<number> {
  const { folios } = mm;
  const pfn = mm.pfnAt(page);
  const head = folios.head(pfn);
  folios.get(head);
  if (!(yield* lockOrRetry(mm, head, mayDrop))) return VM_FAULT_RETRY;
  const range = mmuNotifierRange(mm.machine.profile.hmm.exclusiveRevokeEvent, page, page + 1);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  const node = mm.pageTable.nodeOf(page);
  const slot = page & 511;
  if (
    node !== null &&
    node.huge === 0 &&
    (node.bits[slot]! & PTE_KIND) === PTE_EXCLUSIVE &&
    node.pfn[slot] === pfn
  ) {
    restoreExclusive(mm, vma, node, slot);
    folios.counters.values[EXCLUSIVE_REVOKE]!++;
    const point = mm.machine.trace.point(DEVICE_EXCLUSIVE);
    if (point.enabled) point.emit({ mm: mm.name, page, pfn, on: false });
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  folios.unlock(head);
  folios.put(head);
  return 0;
}
