import { cycleText } from '../../mm/lock-graph.ts';
import type { MmRule } from '../../mm/mm-rule.ts';
import { isOfNotifiers } from './s09-notifier-locks.ts';

/**
 * The lock order of mm and its users, outermost first: mmap_lock, the driver's svm or range lock, the
 * invalidate_range_start map, folio locks, the driver's user_lock, page-table locks, the notifier's lock. Checked as
 * kernel/locking/lockdep.c does: two orders of two classes are an error, also when no run has met the deadlock yet.
 * Circles through a wait for callbacks are S9. A trylock counts as a lock, because the models try first where they may
 * sleep.
 */
export const LOCK_ORDER: MmRule = {
  id: 'LOCK',
  name: 'LOCK_ORDER',
  severity: 'D',
  statement: 'lock classes are taken in one order',
  checks: {
    cycle(cycle, state) {
      if (!isOfNotifiers(cycle)) state.report(LOCK_ORDER, cycleText(cycle));
    },
  },
};
