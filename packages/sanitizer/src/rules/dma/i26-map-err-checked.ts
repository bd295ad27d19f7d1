import { DMA_MAPPING_ERROR } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import type { DeviceShadow } from '../../shadow/device-shadow.ts';
import { LINKED, ORPHAN, PRESENT } from '../../shadow/slot-flags.ts';
import { callName } from './call-name.ts';

/** Most pages that a page table is asked about after a failure. */
const MOST_ASKED = 1 << 16;

/**
 * I26. The results of try_alloc, link and map are used. Not using them shows in what follows: a link into a state
 * that try_alloc left empty, an access or unlink of a range whose link failed, an unmap of the error value. The
 * layers below have to pass errors on as well: a link that returns success must have mapped something
 * (6fc7e8a3b811 and b948a8722848, the inverted test of `iommu_map_nosync`). dma-debug: MAP_ERR_NOT_CHECKED.
 */
export const MAP_ERR_CHECKED: DmaRule = {
  id: 'I26',
  name: 'MAP_ERR_CHECKED',
  statement: 'the result of every try_alloc, link and map is used',
  checks: {
    link(op, found) {
      if (op.reservedBytes === 0) {
        found.report(MAP_ERR_CHECKED, op, 'a link into a state that dma_iova_try_alloc did not fill');
        return;
      }
      if (op.pages <= 0 || op.reservation === 0) return;
      if (op.err === 0) complete(op, found);
      else leftBehind(op, found);
    },
    map(op, found) {
      if (op.err === 0 && op.device.translated) complete(op, found);
      if (op.err !== 0 && op.device.changes.count > 0) {
        op.firstPage = op.device.changes.firstPage;
        op.pages = op.device.changes.endPage - op.firstPage;
        leftBehind(op, found);
      }
    },
    mapSegment: (op, found) => complete(op, found),
    sync: (op, found) => unfilled(op, found, 'a sync'),
    free(op, found) {
      if (!op.judged) unfilled(op, found, callName(op));
    },
    unlink(op, found) {
      unfilled(op, found, callName(op));
      const { failedPage, failedPages } = op.device.reservations;
      const id = op.reservation;
      if (id === 0 || failedPages[id] === 0 || op.firstHole < 0) return;
      const first = failedPage[id]!;
      if (first < op.firstPage || first >= op.firstPage + op.pages) return;
      if ((op.device.slots.flagsAt(first) & LINKED) !== 0 || op.api === 'dma_iova_with_holes_destroy') return;
      found.report(MAP_ERR_CHECKED, op, 'an unlink covers a range whose link had failed', {
        firstPage: first,
        pages: failedPages[id]!,
      });
    },
    fault(op, found) {
      if (op.addrBytes < 0) {
        found.report(MAP_ERR_CHECKED, op, 'a device access to DMA_MAPPING_ERROR');
        return;
      }
      const reservation = op.device.reservationHolding(op.firstPage);
      if (reservation === 0 || !inFailedLink(op.device, reservation, op.firstPage)) return;
      found.report(MAP_ERR_CHECKED, op, 'a device access to a range whose link had failed', { reservation });
    },
    unmap(op, found) {
      if (op.addrBytes === DMA_MAPPING_ERROR)
        found.report(MAP_ERR_CHECKED, op, 'an unmap of DMA_MAPPING_ERROR');
    },
    access(op, found) {
      if (op.addrBytes < 0) found.report(MAP_ERR_CHECKED, op, 'a device access to DMA_MAPPING_ERROR');
    },
  },
};

function unfilled(op: DmaOp, found: Findings, what: string): void {
  if (op.reservation !== 0 || op.reservedBytes !== 0 || op.addrBytes !== 0) return;
  found.report(MAP_ERR_CHECKED, op, `${what} of a state that dma_iova_try_alloc did not fill`);
}

/** A call that succeeded has mapped all that it was asked to. */
function complete(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (op.pages <= 0 || (device.slots.allFlags(op.firstPage, op.pages) & PRESENT) !== 0) return;
  const domain = device.device?.domain;
  if (domain === undefined || domain === null) return;
  for (let page = op.firstPage; page < op.firstPage + op.pages; page++) {
    // A page table that reports nothing is asked.
    if ((device.slots.flagsAt(page) & PRESENT) !== 0 || domain.translate(page) >= 0) continue;
    const at = page - op.firstPage;
    found.report(
      MAP_ERR_CHECKED,
      op,
      `a call returned success and did not map page ${at}: an error was lost`,
    );
    return;
  }
}

/** A call that failed has undone what it had mapped. */
function leftBehind(op: DmaOp, found: Findings): void {
  const { device } = op;
  const domain = device.device?.domain;
  if (domain === undefined || domain === null || !device.complete) return;
  const end = op.firstPage + Math.min(op.pages, MOST_ASKED);
  for (let page = op.firstPage; page < end; page++) {
    // What is linked was there before, and so was a leaf that leaked.
    if ((device.slots.flagsAt(page) & (LINKED | ORPHAN)) !== 0 || domain.translate(page) < 0) continue;
    found.report(MAP_ERR_CHECKED, op, 'a call failed and left entries in the page table', {
      firstPage: page,
      pages: 1,
    });
    return;
  }
}

/** Whether a page lies in the range of the last link of a reservation that failed. */
export function inFailedLink(device: DeviceShadow, reservation: number, page: number): boolean {
  const { failedPage, failedPages } = device.reservations;
  const first = failedPage[reservation]!;
  return failedPages[reservation]! > 0 && page >= first && page < first + failedPages[reservation]!;
}
