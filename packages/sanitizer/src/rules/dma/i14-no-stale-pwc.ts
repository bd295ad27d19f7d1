import type { DmaRule } from '../../rule.ts';

/**
 * I14. A table page may be reused only after the caches of upper-level entries forgot it: the freelist of the gather
 * is freed after an invalidation that does not carry the leaf-only hint (`iommu_iotlb_sync`, `clear_contig`). Which
 * tables went out of the tree follows from the unmapped range.
 */
export const NO_STALE_PWC: DmaRule = {
  id: 'I14',
  name: 'NO_STALE_PWC',
  statement: 'a table page is freed only after the upper-level entry that led to it was invalidated',
  checks: {
    invalidate(op, found) {
      const domain = op.device.device?.domain;
      // Legacy AMD keeps every table.
      if (domain === undefined || domain === null || domain.format === 'amd-legacy') return;
      found.report(NO_STALE_PWC, op, 'an unmap freed a table, its invalidation kept the upper-level entry');
    },
  },
};
