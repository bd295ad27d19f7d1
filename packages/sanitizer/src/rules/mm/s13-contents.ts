import { MIGRATE_PFN_MIGRATE, MIGRATE_PFN_VALID } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S13. The core moves metadata only; finalize makes the destination visible, so its contents must be there by then. A
 * driver that copies asynchronously waits for its fence first (Documentation/mm/hmm.rst). Looked at only when a driver
 * tells of its copies.
 */
export const CONTENTS: MmRule = {
  id: 'S13',
  name: 'CONTENTS',
  severity: 'C',
  statement: 'the contents of every committed destination are complete before finalize',
  checks: {
    slots({ phase, src, dst, slots }, state) {
      if (phase !== 'finalize' || !state.copiesAreTold) return;
      for (let slot = 0; slot < slots; slot++) {
        if ((src.flags[slot]! & MIGRATE_PFN_MIGRATE) === 0 || (dst.flags[slot]! & MIGRATE_PFN_VALID) === 0)
          continue;
        const pfn = dst.pfn[slot]!;
        const copy = state.copies.get(pfn);
        if (copy === 'done') continue;
        const how = copy === 'start' ? 'is still being written' : 'was never written';
        state.report(CONTENTS, `page frame ${pfn} of slot ${slot} becomes visible and ${how}`);
      }
    },
  },
};
