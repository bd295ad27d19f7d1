import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S8. Readers compare only the subscription's own sequence (mmu_interval_read_retry, mm/mmu_notifier.c): a callback that
 * does not call mmu_interval_set_seq makes the invalidation invisible to them. lib/test_hmm.c skips its own MIGRATE
 * without a lock that keeps its faults out (bug B2).
 */
export const SET_SEQ: MmRule = {
  id: 'S8',
  name: 'SET_SEQ',
  severity: 'C',
  statement:
    'a callback sets the sequence, except for its own MIGRATE under a lock that also excludes its faults',
  checks: {
    callback({ phase, sub, range, curSeq, result }, state) {
      if (phase !== 'end' || !result || sub.invalidateSeq === curSeq) return;
      const what = `a callback for ${range.event} of pages ${range.startPage} to ${range.endPage - 1}`;
      if (range.event !== 'MIGRATE' || range.owner === null) {
        state.report(SET_SEQ, `${what} returned without mmu_interval_set_seq`);
        return;
      }
      const readers = state.readers.get(sub);
      if (readers === undefined || state.task.held.some((lock) => readers.has(lock))) return;
      state.report(
        SET_SEQ,
        `${what} passed over its own migration, and no lock keeps the faults of the driver out`,
      );
    },
    read({ phase, sub }, state) {
      if (phase !== 'begin') return;
      const { held } = state.task;
      for (const { locks } of state.skipped.get(sub) ?? []) {
        if (held.some((lock) => locks.has(lock))) continue;
        state.report(
          SET_SEQ,
          'a fault begins that no lock excludes from a migration whose callback was passed over',
        );
        return;
      }
    },
  },
};
