import { DMA_ATTR_MMIO } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import { coveringMapping } from '../../shadow/covering-mapping.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { FRAME_FREE } from '../../shadow/frames.ts';
import { directRights } from './direct-rights.ts';
import { isInBounds } from './i01-link-in-bounds.ts';
import { isPeer } from './peer.ts';
import { LINKED, ORPHAN, PRESENT, STALE } from '../../shadow/slot-flags.ts';

/**
 * I16. What a device can reach was passed to it by its owner. RFC v3 05/11 linked many pages from one dummy page on,
 * which gave the device the pages behind it; a leaf that outlives its mapping does the same. Bytes of a buffer's own
 * first and last page are counted apart ({@link Sanitizer.paddingBytes}), until a device uses them.
 *
 * Known without being told: pages that are free, addresses without a mapping, leaves without an owner. Pages that
 * belong to somebody else are known when buffers are declared.
 */
export const EXPOSURE: DmaRule = {
  id: 'I16',
  name: 'EXPOSURE',
  statement: 'every page that a device can reach belongs to a buffer that its owner passed',
  checks: {
    link(op, found) {
      // A link that is too long for its reservation is so for its buffer too.
      if (isInBounds(op)) whole(op, found);
    },
    map: (op, found) => whole(op, found),
    mapSegment(op, found) {
      if (leadsRight(op, found)) passed(op, found);
    },
    // Segments that follow on each other are mapped together.
    mapList(op, found) {
      noMore(op, found);
    },
    access(op, found) {
      const { device } = op;
      if (!device.complete || op.byBus) return;
      if (found.frames.state(op.pfn) === FRAME_FREE) {
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn}, which is free`);
      } else if (device.translated) {
        const flags = device.slots.flagsAt(op.firstPage);
        if ((flags & (PRESENT | STALE)) === 0 && isPeer(device, op.pfn)) {
          found.report(
            EXPOSURE,
            op,
            `a device reaches frame ${op.pfn} of a peer, which is not mapped for it`,
          );
          return;
        }
        if (isPadding(op)) {
          const at = op.addrBytes.toString(16);
          const what = `a device reaches 0x${at}, in a page of a mapping but outside of its bytes`;
          found.report(EXPOSURE, op, what, { survivors: [found.mapping(device, op.mapping!)] });
          return;
        }
        if ((flags & (ORPHAN | LINKED)) !== ORPHAN) return;
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn} through a leaf whose mapping has ended`);
      } else if (directRights(device, op.firstPage) === 0) {
        found.report(EXPOSURE, op, `a device reaches frame ${op.pfn}, which is not mapped for it`);
      } else if (device.edges.get(op.firstPage) !== 0 && coveringMapping(device, op.addrBytes, 1) === null) {
        const at = op.addrBytes.toString(16);
        found.report(
          EXPOSURE,
          op,
          `a device reaches 0x${at}, in a page of a mapping but outside of its bytes`,
        );
      }
    },
  },
};

function whole(op: DmaOp, found: Findings): void {
  if (leadsRight(op, found) && noMore(op, found)) passed(op, found);
}

/** Of the memory that a call passed nothing is free or somebody else's. */
function passed(op: DmaOp, found: Findings): void {
  if (op.err !== 0 || op.pages <= 0 || (op.attrs & DMA_ATTR_MMIO) !== 0) return;
  const first = op.device.pageAt(op.physBytes);
  const pages = op.device.framesOf(op.physBytes, op.sizeBytes);
  const { buffer } = found.frames;
  const free = found.frames.firstFree(first, pages);
  if (free >= 0) {
    found.report(EXPOSURE, op, `${describe(op, free - first)} is frame ${free}, which is free`);
    return;
  }
  const foreign = buffer.firstOther(first, pages, buffer.get(first));
  if (foreign >= 0)
    found.report(EXPOSURE, op, `${describe(op, foreign - first)} is frame ${foreign} of another buffer`);
}

/** The page table leads where the call said. Slots that bounce lead to the pool. */
function leadsRight(op: DmaOp, found: Findings): boolean {
  const { device, firstPage, pages } = op;
  if (op.err !== 0 || !device.translated || op.bounced) return true;
  const end = firstPage + pages;
  const pfn = device.pageAt(op.physBytes);
  for (let page = firstPage; page < end; page++) {
    const to = device.slots.pfnAt(page);
    if ((device.slots.flagsAt(page) & PRESENT) === 0 || to === pfn + page - firstPage) continue;
    const expected = pfn + page - firstPage;
    found.report(EXPOSURE, op, `the page table leads to frame ${to}, the call passed frame ${expected}`, {
      firstPage: page,
      pages: 1,
    });
    return false;
  }
  return true;
}

/** Nothing was mapped beside what the call said. */
function noMore(op: DmaOp, found: Findings): boolean {
  const { device, firstPage, pages } = op;
  if (op.err !== 0 || pages <= 0 || !device.translated || op.bounced) return true;
  const end = firstPage + pages;
  const { changes } = device;
  if (changes.count !== 1 || changes.endPage <= firstPage || changes.firstPage >= end) return true;
  if (changes.firstPage >= firstPage && changes.endPage <= end) return true;
  found.report(EXPOSURE, op, `${changes.pages} pages were mapped by a call for ${pages}`, {
    firstPage: changes.firstPage,
    pages: changes.pages,
  });
  return false;
}

/** An access to the bytes that the first and last page of a mapping expose beside its buffer. */
function isPadding({ device, mapping, firstPage, addrBytes, pfn }: DmaOp): boolean {
  if (mapping === null || mapping.bounced || device.slots.pfnAt(firstPage) !== pfn) return false;
  const at = pfn * 4096 + (addrBytes & 4095);
  return at < mapping.physBytes || at >= mapping.physBytes + mapping.sizeBytes;
}

function describe(op: DmaOp, page: number): string {
  return `page ${page} of a mapping of ${op.pages}`;
}
