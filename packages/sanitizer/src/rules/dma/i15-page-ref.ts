import { IO_PAGE_TABLES } from '@gpusvm/dma-iova';
import type { DmaRule } from '../../rule.ts';
import { deviceMapping } from './device-mapping.ts';

/**
 * I15. Each leaf that maps a page holds a reference: it must be gone when the page is freed, and cannot become
 * negative (drivers/iommu/iommu-debug-pagealloc.c warns about both).
 */
export const PAGE_REF: DmaRule = {
  id: 'I15',
  name: 'PAGE_REF',
  statement: 'no leaf maps a page that is freed, and no page loses more leaves than it had',
  checks: {
    pageFree(op, found) {
      const pfn = found.frames.firstMapped(op.firstPage, op.pages);
      if (pfn < 0) return;
      const at = deviceMapping(found, pfn, 1);
      if (at === null) return;
      op.device = at.device;
      found.report(PAGE_REF, op, `page frame ${pfn} is freed while a leaf maps it`, {
        reservation: at.device.reservationHolding(at.page),
        firstPage: at.page,
        pages: 1,
      });
    },
    iommuUnmap(op, found) {
      const claimed = op.unmappedBytes / 4096;
      if (claimed <= op.presentPages || !op.device.complete) return;
      const format = op.device.device?.domain?.format;
      const model = Object.values(IO_PAGE_TABLES).find(({ name }) => name === format)?.unmap;
      // Legacy formats report what was asked for, or count holes.
      if (model === undefined || model.hole !== 'stop') return;
      found.report(PAGE_REF, op, `${claimed} pages count as unmapped, ${op.presentPages} were mapped`);
    },
  },
};
