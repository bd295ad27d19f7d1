import type { DmaOp } from '../../op.ts';
import { LINKED } from '../../shadow/slot-flags.ts';

/** Whether a page boundary lies inside one live link. */
export function cutLink(op: DmaOp, page: number): boolean {
  const { slots } = op.device;
  if ((slots.flagsAt(page - 1) & slots.flagsAt(page) & LINKED) === 0) return false;
  const link = slots.linkAt(page);
  // Inline links are one page each.
  return link > 0 && slots.linkAt(page - 1) === link;
}
