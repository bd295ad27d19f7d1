import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S6. hmm_range_fault takes no references: what it says is good only while mmu_interval_read_retry said so under the
 * driver's lock and that lock was not dropped since (Documentation/mm/hmm.rst, include/linux/mmu_notifier.h).
 */
export const STALE_PFN: MmRule = {
  id: 'S6',
  name: 'STALE_PFN',
  severity: 'U',
  statement:
    'a device maps a page only under the lock under which read_retry said that the lookup is not stale',
  checks: {
    deviceMap({ device, sub, seq, page, pfn }, state) {
      const { task } = state;
      const where = `${device} maps page ${page} to page frame ${pfn}`;
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
