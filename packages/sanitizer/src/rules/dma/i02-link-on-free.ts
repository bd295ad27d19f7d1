import type { DmaRule } from '../../rule.ts';
import { LINKED } from '../../shadow/slot-flags.ts';

/**
 * I2. generic_pt answers a link over an occupied slot with -EADDRINUSE (`__map_range_leaf`), Arm with -EEXIST and a
 * warning; both mean that the caller has lost count of its offsets, so the link is reported whether it failed or not.
 */
export const LINK_ON_FREE: DmaRule = {
  id: 'I2',
  name: 'LINK_ON_FREE',
  statement: 'no slot of a link is linked already',
  checks: {
    link(op, found) {
      if (op.pages <= 0 || (op.device.slots.anyFlags(op.firstPage, op.pages) & LINKED) === 0) return;
      const survivors = found.survivors(op, op.firstPage, op.pages, LINKED);
      found.report(LINK_ON_FREE, op, 'a link over slots that are linked already', { survivors });
    },
  },
};
