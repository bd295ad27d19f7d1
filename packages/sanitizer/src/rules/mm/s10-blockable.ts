import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S10. mn_itree_invalidate (mm/mmu_notifier.c) warns about a callback that refuses a blockable range; one that sleeps in
 * a range that is not blockable stalls the OOM reaper, and after -EAGAIN the start has run its own end.
 */
export const BLOCKABLE: MmRule = {
  id: 'S10',
  name: 'BLOCKABLE',
  severity: 'C',
  statement:
    'a callback refuses only ranges that are not blockable, sleeps only in those that are; no end after -EAGAIN',
  checks: {
    callback({ phase, range, result }, state) {
      if (phase !== 'end') return;
      const where = `the callback for ${range.event} of pages ${range.startPage} to ${range.endPage - 1}`;
      if (range.blockable) {
        if (!result) state.report(BLOCKABLE, `${where} refused although it may sleep`);
        return;
      }
      const running = state.callbacks.get(state.task)?.at(-1);
      if (running !== undefined && !running.mightSleep && running.sleeps !== state.task.sleeps)
        state.report(BLOCKABLE, `${where} slept although it must not`);
    },
    // might_sleep() warns about a lock that is free as well.
    lock({ lock, task, maySleep }, state) {
      const running = state.callbacks.get(task)?.at(-1);
      if (!maySleep || running === undefined || running.range.blockable || running.mightSleep) return;
      const { event, startPage, endPage } = running.range;
      state.report(
        BLOCKABLE,
        `the callback for ${event} of pages ${startPage} to ${endPage - 1} takes ${lock.label} and does not only try: it must not sleep`,
      );
    },
    range({ phase, range }, state) {
      if (phase !== 'end' || !state.refused.has(range)) return;
      state.report(
        BLOCKABLE,
        `the end of ${range.event} of pages ${range.startPage} to ${range.endPage - 1} was called after its start had given -EAGAIN`,
      );
    },
  },
};
