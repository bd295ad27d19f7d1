import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S11. invalidate_seq is odd only while an invalidation is active, and that of a subscription is odd always
 * (mn_itree_inv_end and mmu_interval_set_seq, mm/mmu_notifier.c): a reader that finds the two equal waits.
 */
export const PARITY: MmRule = {
  id: 'S11',
  name: 'PARITY',
  severity: 'C',
  statement: "the mm's sequence is odd only while an invalidation is active; a subscription's is odd always",
  checks: {
    sweep: (_event, state) => compare(state),
    callback: (_event, state) => compare(state),
  },
};

function compare(state: MmState): void {
  for (const { name, notifiers } of state.folios.mms.all()) {
    if (notifiers === null) continue;
    if (notifiers.invalidating && notifiers.active.size === 0)
      state.report(PARITY, `sequence ${notifiers.invalidateSeq} of ${name} is odd and nothing is active`);
    notifiers.tree.forEach(({ invalidateSeq, startPage }) => {
      if ((invalidateSeq & 1) === 0)
        state.report(
          PARITY,
          `the subscription at page ${startPage} of ${name} has the even sequence ${invalidateSeq}`,
        );
    });
  }
}
