import type { DeviceMapEvent } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S6. hmm_range_fault takes no references: what it says is good only while mmu_interval_read_retry said so under the
 * driver's lock and that lock was not dropped since (Documentation/mm/hmm.rst, include/linux/mmu_notifier.h).
 */
export const STALE_PFN: MmRule = {
  id: 'S6',
  name: 'STALE_PFN',
  severity: 'U',
  statement:
    'a device maps a page only under the lock under which read_retry, or a flag that callbacks clear, said that the lookup is not stale',
  checks: {
    deviceMap(event, state) {
      const { device, sub, seq, page, pfn } = event;
      const { task } = state;
      const where = `${device} maps page ${page} to page frame ${pfn}`;
      if (event.check === 'pages-valid') {
        const wrong = wrongWithPages(event, state);
        if (wrong !== null) state.report(STALE_PFN, `${where} ${wrong}`);
        return;
      }
      const read = state.fresh.get(sub)?.get(task);
      if (read === undefined || read.seq !== seq) {
        state.report(STALE_PFN, `${where} without having asked mmu_interval_read_retry`);
        return;
      }
      const known = state.userLocks.get(sub);
      const held = read.locks.filter(({ lock, stamp }) => state.stillHeld(task, lock, stamp));
      if (held.some(({ lock }) => known === undefined || known.has(lock))) return;
      const locks =
        known === undefined ? 'a lock that callbacks take' : [...known].map((l) => l.label).join(' or ');
      state.report(STALE_PFN, `${where} although ${locks} was not held since mmu_interval_read_retry`);
    },
  },
};

/** A flag for the pages instead of the sequence: no callback for the page has returned since, and it is kept out. */
function wrongWithPages({ sub, seq, page }: DeviceMapEvent, state: MmState): string | null {
  if (state.lastInvalidation(sub, page) > seq) return 'although it was invalidated since the lookup';
  const known = state.userLocks.get(sub);
  if (known === undefined || state.task.held.some((lock) => known.has(lock))) return null;
  return `without holding ${[...known].map((l) => l.label).join(' or ')}`;
}
