import type { DmaOp } from '../../op.ts';
import { callName } from './call-name.ts';
import type { DmaRule, Findings } from '../../rule.ts';

/**
 * I11. `dma_iova_free` leaves the state readable, and nothing notices a second free: up to 32 pages the address is
 * put into a magazine twice and two owners get it, above it a stranger's node may go (`iova_magazine_free_pfns`).
 * Every other call on a freed state has the same cause.
 */
export const NO_DOUBLE_FREE: DmaRule = {
  id: 'I11',
  name: 'NO_DOUBLE_FREE',
  statement: 'a reservation is freed once, and its state is not used afterwards',
  checks: {
    free(op, found) {
      if (!op.judged) check(op, found, callName(op));
    },
    link: (op, found) => check(op, found, 'a link'),
    sync: (op, found) => check(op, found, 'a sync'),
    unlink: (op, found) => check(op, found, callName(op)),
  },
};

function check(op: DmaOp, found: Findings, what: string): void {
  // A state that never was a reservation is rule I26.
  if (op.addrBytes === 0 || !op.device.complete) return;
  const { reservations } = op.device;
  const id = op.reservation;
  if (id === 0) {
    found.report(NO_DOUBLE_FREE, op, `${what} on a state that is not a live reservation`);
  } else if (reservations.addrBytes[id] !== op.addrBytes || reservations.state[id] !== op.state) {
    found.report(NO_DOUBLE_FREE, op, `${what} on a state whose address now belongs to another reservation`);
  }
}
