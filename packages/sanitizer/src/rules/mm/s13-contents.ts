import { MIGRATE_PFN_MIGRATE, MIGRATE_PFN_VALID } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { Copied, MmState } from '../../mm/mm-state.ts';

/**
 * S13. The core moves metadata only; finalize makes the destination visible, so its contents must be there by then. A
 * driver that copies asynchronously waits for its fence first (Documentation/mm/hmm.rst). Looked at only when a driver
 * tells of its copies, or has said that it does (`tellsCopies` of its DevPagemap).
 */
export const CONTENTS: MmRule = {
  id: 'S13',
  name: 'CONTENTS',
  severity: 'C',
  statement: 'the contents of every committed destination are complete before finalize',
  checks: {
    slots({ phase, src, dst, slots }, state) {
      if (phase !== 'finalize') return;
      for (let slot = 0; slot < slots; slot++) {
        if ((src.flags[slot]! & MIGRATE_PFN_MIGRATE) === 0 || (dst.flags[slot]! & MIGRATE_PFN_VALID) === 0)
          continue;
        const pfn = dst.pfn[slot]!;
        const from = (src.flags[slot]! & MIGRATE_PFN_VALID) === 0 ? -1 : src.pfn[slot]!;
        if (!state.copiesAreTold && !isTold(state, pfn) && !isTold(state, from)) continue;
        const how = wrongWith(state.copies.get(pfn), from);
        if (how !== null)
          state.report(CONTENTS, `page frame ${pfn} of slot ${slot} becomes visible and ${how}`);
      }
    },
  },
};

function isTold({ folios }: MmState, pfn: number): boolean {
  return folios.pagemaps.some((pagemap) => pagemap.tellsCopies && pagemap.contains(pfn));
}

/** @param from - source of the slot; -1 when it has none and is cleared. */
function wrongWith(copied: Copied | undefined, from: number): string | null {
  if (copied === undefined) return 'was never written';
  if (copied.phase === 'start') return 'is still being written';
  if (copied.clears && from >= 0) return `was cleared, not copied from its source ${from}`;
  if (copied.from < 0 || copied.from === from) return null;
  const instead = from < 0 ? 'although it has no source' : `not from its source ${from}`;
  return `was copied from page frame ${copied.from}, ${instead}`;
}
