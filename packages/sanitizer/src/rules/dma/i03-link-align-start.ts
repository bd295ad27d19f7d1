import type { DmaRule } from '../../rule.ts';

/**
 * I3. Only the first range may start inside a page, and only with the page offset that the reservation was made with
 * (WARN and -EIO in `dma_iova_link`; -ENXIO from the page table; core-api/dma-api.rst). In an unaligned reservation
 * the later offsets are therefore a multiple of the page size minus that offset.
 */
export const LINK_ALIGN_START: DmaRule = {
  id: 'I3',
  name: 'LINK_ALIGN_START',
  statement: 'a link at an offset other than 0 starts on a page in both address spaces',
  checks: {
    link(op, found) {
      if (op.reservation === 0) return;
      const start = op.device.offsetOf(op.addrBytes + op.offsetBytes);
      const phys = op.device.offsetOf(op.physBytes);
      if (op.offsetBytes === 0 ? phys === start : phys === 0 && start === 0) return;
      const what =
        op.offsetBytes === 0
          ? `first link starts ${phys} bytes into a page, the reservation ${start}`
          : `link at offset 0x${op.offsetBytes.toString(16)} does not start on a page (phys 0x${op.physBytes.toString(16)})`;
      found.report(LINK_ALIGN_START, op, what);
    },
  },
};
