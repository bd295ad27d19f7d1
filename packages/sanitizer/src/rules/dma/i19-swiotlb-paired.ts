import { DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';

/** Attributes of memory that must not be copied. */
const RAW = DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT;

/**
 * I19. Each bounce slot is given back exactly once; memory that must not be copied is never bounced (057e5e07420c:
 * forced bouncing of MMIO), nor linked into a state that bounces (WARNs of `dma_iova_link`). The slow pass of an
 * unlink gives up at a hole, and the slots behind it leak.
 */
export const SWIOTLB_PAIRED: DmaRule = {
  id: 'I19',
  name: 'SWIOTLB_PAIRED',
  statement: 'each bounce slot is freed once, and nothing that must not be copied is bounced',
  checks: {
    map(op, found) {
      if (op.bounced && (op.attrs & RAW) !== 0)
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is bounced');
    },
    link(op, found) {
      if ((op.attrs & RAW) === 0) return;
      if (op.bounced) {
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is bounced');
      } else if (op.reservation !== 0 && op.device.reservations.bounced[op.reservation] === 1) {
        found.report(SWIOTLB_PAIRED, op, 'memory that must not be copied is linked behind a bounced range');
      }
    },
    unlink: (op, found) => balance(op, found, op.bouncedPages),
    release(op, found) {
      balance(op, found, 0);
      const { liveBounces } = op.device;
      if (liveBounces > 0)
        found.report(SWIOTLB_PAIRED, op, `${liveBounces} bounce slots were never given back`);
    },
  },
};

/** Compare the ledger with the pool, where the pool is known. */
function balance(op: DmaOp, found: Findings, freedNow: number): void {
  const { device } = op;
  const pool = device.device?.swiotlb;
  if (pool === undefined || pool === null || !device.complete) return;
  const expected = device.liveBounces - freedNow;
  const lost = pool.live - expected;
  if (lost === 0) return;
  const what =
    lost > 0 ? `${lost} bounce slots were not given back` : `${-lost} bounce slots were given back too early`;
  found.report(SWIOTLB_PAIRED, op, what);
  // Said once.
  device.liveBounces = pool.live + freedNow;
}
