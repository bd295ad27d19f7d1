import type { DmaOp } from '../../op.ts';
import { LINKED } from '../../shadow/slots.ts';

/** Whether a page boundary lies inside one live link. */
export function cutLink(op: DmaOp, page: number): boolean {
  const { slots } = op.device;
  if ((slots.flagsAt(page - 1) & slots.flagsAt(page) & LINKED) === 0) return false;
  return slots.linkAt(page - 1) === slots.linkAt(page);
}
