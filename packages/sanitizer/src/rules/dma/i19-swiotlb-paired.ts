import { DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT, DMA_ATTR_SKIP_CPU_SYNC } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';

/** Attributes of memory that must not be copied. */
const RAW = DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT;

/**
 * I19. Each bounce slot is given back exactly once, with a copy where the device may have written; memory that must
 * not be copied is never bounced (057e5e07420c: forced bouncing of MMIO), nor linked into a state that bounces (WARNs
 * of `dma_iova_link`). The slow pass of an unlink gives up at a hole, and the slots behind it leak.
 */
export const SWIOTLB_PAIRED: DmaRule = {
  id: 'I19',
  name: 'SWIOTLB_PAIRED',
  statement: 'each bounce slot is freed once and copied back, and nothing that must not be copied is bounced',
  checks: {
    map(op, found) {
      if (op.bounced && (op.attrs & RAW) !== 0)
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is bounced');
      if (op.err === 0 && !op.bounced && !op.device.translated && op.addrBytes !== op.physBytes)
        found.report(
          SWIOTLB_PAIRED,
          op,
          'an address that is neither that of the memory nor that of a fresh slot',
        );
      failed(op, found);
    },
    link(op, found) {
      failed(op, found);
      if ((op.attrs & RAW) === 0) return;
      if (op.bounced) {
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is bounced');
      } else if (op.reservation !== 0 && op.device.reservations.bounced[op.reservation] === 1) {
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is linked behind a bounced range');
      }
    },
    unlink(op, found) {
      const { returned, uncopied } = op.device.bounces;
      if (returned !== op.bounces) {
        const what = `${op.bounces} bounce slots are unlinked and ${returned} are given back`;
        found.report(SWIOTLB_PAIRED, op, what);
      }
      if (uncopied > 0 && (op.attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) notCopied(op, found);
    },
    unbounce(op, found) {
      if ((op.attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) notCopied(op, found);
    },
    owed(op, found) {
      found.report(
        SWIOTLB_PAIRED,
        op,
        `${op.device.bounces.owed} bounce slots were not given back by their unmap`,
      );
    },
    release(op, found) {
      const { live } = op.device.bounces;
      if (live > 0) found.report(SWIOTLB_PAIRED, op, `${live} bounce slots were never given back`);
    },
  },
};

/** A call that fails gives back what it took. */
function failed(op: DmaOp, found: Findings): void {
  const { taken, returned } = op.device.bounces;
  const kept = taken - returned;
  if (op.err === 0 || kept <= 0) return;
  found.report(SWIOTLB_PAIRED, op, `a call that failed keeps ${kept} bounce slots`);
}

function notCopied(op: DmaOp, found: Findings): void {
  found.report(SWIOTLB_PAIRED, op, 'a bounce slot is given back without copying what the device wrote');
}
