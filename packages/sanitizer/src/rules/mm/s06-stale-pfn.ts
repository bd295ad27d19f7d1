import { type DeviceMapEvent, HMM_PFN_VALID } from '@gpusvm/hmm';
import type { Waitable } from '@gpusvm/kernel';
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
      const where = `${event.device} maps page ${event.page} to page frame ${event.pfn}`;
      const wrong =
        notLookedUp(event, state) ??
        (event.check === 'pages-valid' ? wrongWithPages(event, state) : wrongWithSequence(event, state));
      if (wrong !== null) state.report(STALE_PFN, `${where} ${wrong}`);
    },
    callback({ phase, sub, curSeq, result }, state) {
      if (phase !== 'end' || !result || sub.invalidateSeq !== curSeq) return;
      const locks = state.userLocks.get(sub) ?? new Set();
      const maps = state.unjudged.get(sub);
      state.unjudged.delete(sub);
      // The first callback shows which lock it takes: what was mapped before is judged by it.
      for (const { where, locks: held } of maps?.values() ?? []) {
        if (held.some((lock) => locks.has(lock))) continue;
        state.report(
          STALE_PFN,
          `${where} although ${names(locks)} was not held since mmu_interval_read_retry`,
        );
        return;
      }
    },
  },
};

/** The page is another one than the lookup gave, or the lookup gave none. */
function notLookedUp({ sub, page, seq, pfn }: DeviceMapEvent, state: MmState): string | null {
  const said = state.lookedUp(sub, page, seq);
  if (said === null || ((said.flags & HMM_PFN_VALID) !== 0 && said.pfn === pfn)) return null;
  return (said.flags & HMM_PFN_VALID) === 0
    ? 'although its lookup did not find the page'
    : `although its lookup gave page frame ${said.pfn}`;
}

function wrongWithSequence({ sub, seq }: DeviceMapEvent, state: MmState): string | null {
  const { task } = state;
  const read = state.fresh.get(sub)?.get(task);
  if (read === undefined || read.seq !== seq) return 'without having asked mmu_interval_read_retry';
  const known = state.userLocks.get(sub);
  const held = read.locks.filter(({ lock, stamp }) => state.stillHeld(task, lock, stamp));
  if (held.some(({ lock }) => known === undefined || known.has(lock))) return null;
  return `although ${names(known ?? new Set())} was not held since mmu_interval_read_retry`;
}

function names(locks: ReadonlySet<Waitable>): string {
  return locks.size === 0 ? 'a lock that callbacks take' : [...locks].map(({ label }) => label).join(' or ');
}

/** A flag for the pages instead of the sequence: no callback for the page has returned since, and it is kept out. */
function wrongWithPages({ sub, seq, page }: DeviceMapEvent, state: MmState): string | null {
  if (state.lastInvalidation(sub, page) > seq) return 'although it was invalidated since the lookup';
  const known = state.userLocks.get(sub);
  if (known === undefined || state.task.held.some((lock) => known.has(lock))) return null;
  return `without holding ${names(known)}`;
}
