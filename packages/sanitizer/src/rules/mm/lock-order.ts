import { FOLIO_LOCKED } from '@gpusvm/hmm';
import { TaskHandle } from '@gpusvm/kernel';
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
  statement: 'lock classes are taken in one order, and no task or callback ends with a lock that it took',
  checks: {
    cycle(cycle, state) {
      if (!isOfNotifiers(cycle)) state.report(LOCK_ORDER, cycleText(cycle));
    },
    callback({ phase, range }, state) {
      const running = phase === 'end' ? state.callbacks.get(state.task)?.at(-1) : undefined;
      const kept = state.task.held.find((lock) => running?.held.includes(lock) === false);
      if (kept === undefined || state.told.has(kept)) return;
      state.told.add(kept);
      const { event, startPage, endPage } = range;
      const where = `the callback for ${event} of pages ${startPage} to ${endPage - 1}`;
      state.report(LOCK_ORDER, `${where} returned with ${kept.label} held`);
    },
    ending(_event, state) {
      for (const lock of state.stamps.keys())
        for (const owner of lock.owners())
          if (owner instanceof TaskHandle && owner.ended && !state.told.has(lock))
            state.report(LOCK_ORDER, `task ${owner.name} ended with ${lock.label} held`);
    },
    finish(_event, state) {
      const { folios, migrations } = state;
      // S17 says that the migration was never finalized, S2 who has a reference left.
      if (migrations.size > 0) return;
      for (let pfn = 0; pfn < folios.totalPages; pfn++)
        if ((folios.flags[pfn]! & FOLIO_LOCKED) !== 0 && folios.references(pfn).other === 0)
          state.report(LOCK_ORDER, `page frame ${pfn} is still locked at the end`);
    },
  },
};
