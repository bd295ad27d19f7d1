import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { PRESENT } from '../../shadow/slot-flags.ts';
import { visitSlots } from '../../shadow/slot-visit.ts';

/**
 * I29. The kernel's WARN on an unmap of another length than asked carries no data. This report says where the unmap
 * stopped, which slots leaked, and how many tables stay pinned because the walk never came back to them.
 */
export const SHORT_UNMAP_REPORT: DmaRule = {
  id: 'I29',
  name: 'SHORT_UNMAP_REPORT',
  statement: 'an unmap clears exactly what it was asked to',
  checks: {
    unlink(op, found) {
      if (op.reservation === 0) return;
      if (op.unmappedBytes === op.pages * 4096) elsewhere(op, found);
      else if (op.api !== 'dma_iova_with_holes_destroy') describe(op, found, op.reservation);
    },
    leftMapped: (op, found) => left(op, found),
    iommuUnmap(op, found) {
      const { device } = op;
      // Only the unmap of a classic mapping: the domain's own users may ask for less than they clear.
      if (device.unmapPage !== op.firstPage || device.unmapPages !== op.pages) return;
      if (op.unmappedBytes !== op.sizeBytes) describe(op, found, 0);
    },
  },
};

/** The length is right, and yet something else was cleared than the call asked for. */
function elsewhere(op: DmaOp, found: Findings): void {
  if (op.presentPages > 0) {
    left(op, found);
    return;
  }
  const first = op.clearedFirst;
  const behind = first + op.clearedPages;
  const end = op.firstPage + op.pages;
  if (first < 0 || first >= end || behind <= op.firstPage || (first >= op.firstPage && behind <= end)) return;
  found.report(SHORT_UNMAP_REPORT, op, `an unmap of ${op.pages} pages cleared ${op.clearedPages}`, {
    firstPage: first,
    pages: op.clearedPages,
  });
}

function left(op: DmaOp, found: Findings): void {
  found.report(SHORT_UNMAP_REPORT, op, `an unmap of ${op.pages} pages claims success and left entries`, {
    survivors: found.survivors(op, op.firstPage, op.pages, PRESENT),
  });
}

function describe(op: DmaOp, found: Findings, reservation: number): void {
  const cleared = op.unmappedBytes / 4096;
  if (cleared > op.pages) {
    found.report(SHORT_UNMAP_REPORT, op, `an unmap of ${op.pages} pages cleared ${cleared}`, { reservation });
    return;
  }
  const stop = op.firstPage + cleared;
  const rest = op.pages - cleared;
  let leaked = 0;
  let pinned = 0;
  visitSlots(op.device.slots, stop, rest, (_page, pages, flags) => {
    if ((flags & PRESENT) !== 0) leaked += pages;
  });
  for (let region = Math.floor(op.firstPage / 512); region * 512 < op.firstPage + op.pages; region++) {
    if ((op.device.slots.anyFlags(region * 512, 512) & PRESENT) === 0) pinned++;
  }
  found.report(
    SHORT_UNMAP_REPORT,
    op,
    `an unmap of ${op.pages} pages cleared ${cleared}; ${leaked} slots leaked, ${pinned} empty tables stay pinned`,
    { reservation, firstHole: stop, survivors: found.survivors(op, stop, rest, PRESENT) },
  );
}
