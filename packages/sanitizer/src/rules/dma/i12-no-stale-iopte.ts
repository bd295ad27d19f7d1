import type { DmaRule } from '../../rule.ts';
import { PRESENT } from '../../shadow/slot-flags.ts';

/**
 * I12. A leaf that an owner left behind meets the next one: the device keeps access to memory that was given away,
 * and a link at that slot fails (specification 1.2).
 */
export const NO_STALE_IOPTE: DmaRule = {
  id: 'I12',
  name: 'NO_STALE_IOPTE',
  statement: 'no slot of a new reservation is present in the page table',
  checks: {
    alloc(op, found) {
      if ((op.device.slots.anyFlags(op.firstPage, op.pages) & PRESENT) === 0) return;
      found.report(NO_STALE_IOPTE, op, 'addresses are handed out that the page table still maps', {
        survivors: found.survivors(op, op.firstPage, op.pages, PRESENT),
      });
    },
    iommuMap(op, found) {
      if ((op.device.slots.anyFlags(op.firstPage, op.pages) & PRESENT) === 0) return;
      found.report(NO_STALE_IOPTE, op, 'entries are written over entries that are present', {
        survivors: found.survivors(op, op.firstPage, op.pages, PRESENT),
      });
    },
  },
};
