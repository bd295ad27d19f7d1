import { dmaCounters } from '@gpusvm/dma-iova';
import type { DmaRule } from '../../rule.ts';

/**
 * I24. Table pages allocated minus freed are the tables in use (exit check of the IOMMU KUnit suite on
 * NR_SECONDARY_PAGETABLE). Needs every device with a page table to be watched.
 */
export const TABLE_ACCOUNT: DmaRule = {
  id: 'I24',
  name: 'TABLE_ACCOUNT',
  statement: 'table pages allocated minus freed are those in use',
  checks: {
    release(op, found) {
      const { device, tables } = op.device;
      // What waits in a flush queue is freed with it.
      if (device === null || tables.waiting === 0 || (device.flushQueue?.size ?? 0) > 0) return;
      const what = `${tables.waiting} table pages were taken out of the tree and never freed`;
      found.report(TABLE_ACCOUNT, op, what);
    },
    end(op, found) {
      const counters = dmaCounters(found.machine);
      if (found.strangers) return;
      let used = 0;
      for (const device of found.watched) used += device.domain?.tables ?? 0;
      const expected = counters.get('tblAlloc') - counters.get('tblFree');
      if (used === expected) return;
      found.report(TABLE_ACCOUNT, op, `${expected} table pages are allocated, ${used} are in use`);
    },
  },
};
