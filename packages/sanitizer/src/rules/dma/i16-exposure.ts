import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { FRAME_FREE } from '../../shadow/frames.ts';
import { LINKED, ORPHAN } from '../../shadow/slots.ts';

/**
 * I16. What a device can reach was passed to it by its owner. RFC v3 05/11 linked many pages from one dummy page on,
 * which gave the device the pages behind it; a leaf that outlives its mapping does the same. Bytes of a buffer's own
 * first and last page are counted apart ({@link Sanitizer.paddingBytes}).
 *
 * Known without being told: pages that are free, addresses without a mapping, leaves without an owner. Pages that
 * belong to somebody else are known when buffers are declared.
 */
export const EXPOSURE: DmaRule = {
  id: 'I16',
  name: 'EXPOSURE',
  statement: 'every page that a device can reach belongs to a buffer that its owner passed',
  checks: {
    link: (op, found) => passed(op, found),
    map: (op, found) => passed(op, found),
    access(op, found) {
      const { device } = op;
      if (!device.complete) return;
      if (found.frames.state.get(op.pfn) === FRAME_FREE) {
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn}, which is free`);
      } else if (device.translated) {
        if ((device.slots.flagsAt(op.firstPage) & (ORPHAN | LINKED)) !== ORPHAN) return;
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn} through a leaf whose mapping has ended`);
      } else if (device.rights.get(op.firstPage) === 0) {
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn}, which is not mapped for it`);
      }
    },
  },
};

function passed(op: DmaOp, found: Findings): void {
  if (op.err !== 0 || op.pages <= 0 || (op.attrs & DMA_ATTR_MMIO) !== 0) return;
  const first = Math.floor(op.physBytes / 4096);
  const { state, buffer } = found.frames;
  const free = state.firstEqual(first, op.pages, FRAME_FREE);
  if (free >= 0) {
    found.report(EXPOSURE, op, `${describe(op, free - first)} is frame ${free}, which is free`);
    return;
  }
  const foreign = buffer.firstOther(first, op.pages, buffer.get(first));
  if (foreign >= 0)
    found.report(EXPOSURE, op, `${describe(op, foreign - first)} is frame ${foreign} of another buffer`);
}

function describe(op: DmaOp, page: number): string {
  return `page ${page} of a mapping of ${op.pages}`;
}
