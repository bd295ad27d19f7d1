import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { RESERVED } from '../../shadow/slot-flags.ts';

/**
 * I23. Allocations are disjoint (CVE-2025-38688: an aligned request near the top of the space overflowed), and the
 * allocator's ranges are sorted and contain what was handed out (iova-kunit, `verify_invariants`). The ledger knows
 * what was handed out; the allocator is compared with it when the device goes.
 */
export const TREE_SANE: DmaRule = {
  id: 'I23',
  name: 'TREE_SANE',
  statement: 'live allocations are disjoint, and the allocator knows each of them',
  checks: {
    alloc: (op, found) => overlap(op, found),
    map(op, found) {
      if (op.device.translated && op.err === 0) overlap(op, found);
    },
    mapSegment: (op, found) => overlap(op, found),
    release: (op, found) => compare(op, found),
  },
};

function overlap(op: DmaOp, found: Findings): void {
  if ((op.device.slots.anyFlags(op.firstPage, op.pages) & RESERVED) === 0) return;
  const other =
    op.device.reservationHolding(op.firstPage) || op.device.reservationHolding(op.firstPage + op.pages - 1);
  found.report(TREE_SANE, op, 'addresses are handed out that belong to somebody', {
    reservation: other,
    survivors: found.survivors(op, op.firstPage, op.pages, RESERVED),
  });
}

function compare(op: DmaOp, found: Findings): void {
  const { device } = op;
  const iova = device.device?.iova;
  if (iova === undefined || iova === null || !device.complete) return;
  const ends = new Map<number, number>();
  let before = 0;
  iova.forEachLive((firstPage, lastPage) => {
    if (firstPage <= before || lastPage < firstPage)
      found.report(TREE_SANE, op, 'ranges of the allocator overlap or are out of order', {
        firstPage,
        pages: 1,
      });
    before = lastPage;
    ends.set(firstPage, lastPage);
  });
  const { reservations } = device;
  reservations.forEach((reservation) => {
    const firstPage = reservations.firstPage[reservation]!;
    const pages = reservations.pages[reservation]!;
    const last = ends.get(firstPage);
    if (last !== undefined && last >= firstPage + pages - 1) return;
    found.report(TREE_SANE, op, 'the allocator does not know a live reservation', {
      reservation,
      firstPage,
      pages,
    });
  });
}
