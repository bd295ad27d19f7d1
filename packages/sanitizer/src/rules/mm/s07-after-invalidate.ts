import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S7. When the callback has returned, mm frees or reuses the pages (Documentation/mm/hmm.rst; the contract of
 * mmu_interval_notifier_ops in include/linux/mmu_notifier.h). An owner's own MIGRATE may be passed over: S8 and S15.
 */
export const AFTER_INVALIDATE: MmRule = {
  id: 'S7',
  name: 'AFTER_INVALIDATE',
  severity: 'U',
  statement: 'after a callback has returned, the device neither maps nor accesses the range',
  checks: {
    access({ phase, device, page, write }, state) {
      if (phase !== 'begin' || state.entries.get(device)?.has(page) !== false) return;
      for (const sub of state.subs.get(device) ?? []) {
        if (state.lastInvalidation(sub, page) < 0) continue;
        const how = write ? 'writes' : 'reads';
        state.report(
          AFTER_INVALIDATE,
          `${device} ${how} page ${page}, which was invalidated, without an entry`,
        );
      }
    },
    callback({ phase, sub, range, curSeq, result }, state) {
      if (phase !== 'end' || !result) return;
      const { event, owner, startPage, endPage } = range;
      if (event === 'MIGRATE' && owner !== null && sub.invalidateSeq !== curSeq) return;
      const after = `after its callback for ${event} of pages ${startPage} to ${endPage - 1} returned`;
      for (const entry of state.entriesIn(sub, startPage, endPage)) {
        if (state.told.has(entry)) continue;
        state.told.add(entry);
        const { device, page, pfn } = entry;
        state.report(AFTER_INVALIDATE, `${device} maps page ${page} to page frame ${pfn} ${after}`);
      }
      for (const { device, page, write } of state.accesses.values()) {
        if (state.subs.get(device)?.has(sub) !== true || page < startPage || page >= endPage) continue;
        state.report(AFTER_INVALIDATE, `${device} still ${write ? 'writes' : 'reads'} page ${page} ${after}`);
      }
    },
  },
};
