import { cycleText, INVALIDATION, type LockCycle, RECLAIM } from '../../mm/lock-graph.ts';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S9. mmu_interval_read_begin and mmu_interval_notifier_remove wait for the callbacks of others, reclaim runs callbacks,
 * and mmu_interval_notifier_insert may take the mmap lock: none of it in a callback or under a lock that one takes. The kernel says so to lockdep with
 * __mmu_notifier_invalidate_range_start_map, and drivers/infiniband/core/umem_odp.c with fs_reclaim_acquire.
 */
export const NOTIFIER_LOCKS: MmRule = {
  id: 'S9',
  name: 'NOTIFIER_LOCKS',
  severity: 'D',
  statement: 'nobody begins to read, removes a subscription or allocates under a lock that a callback takes',
  checks: {
    cycle(cycle, state) {
      if (isOfNotifiers(cycle)) state.report(NOTIFIER_LOCKS, cycleText(cycle));
    },
    read({ phase }, state) {
      if (phase === 'begin') outside(state, 'mmu_interval_read_begin');
    },
    insert: (_event, state) => outside(state, 'mmu_interval_notifier_insert, which may take the mmap lock,'),
    remove: (_event, state) => outside(state, 'mmu_interval_notifier_remove'),
  },
};

/** Whether an edge of the circle is a wait for callbacks. */
export function isOfNotifiers({ closing, chain }: LockCycle): boolean {
  return [closing, ...chain].some(({ taken }) => taken === INVALIDATION || taken === RECLAIM);
}

function outside(state: MmState, what: string): void {
  if ((state.callbacks.get(state.task)?.length ?? 0) > 0)
    state.report(NOTIFIER_LOCKS, `${what} inside of a callback`);
}
