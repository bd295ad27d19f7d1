import type { DmaRule } from '../../rule.ts';

/**
 * I14. A table page may be reused only after the caches of upper-level entries forgot it: the freelist of the gather
 * is freed after an invalidation that covers what the table translated and does not carry the leaf-only hint
 * (`iommu_iotlb_sync`; `clear_contig` for tables that a larger leaf replaces).
 */
export const NO_STALE_PWC: DmaRule = {
  id: 'I14',
  name: 'NO_STALE_PWC',
  statement: 'a table page is freed only after the upper-level entry that led to it was invalidated',
  checks: {
    tableFree(op, found) {
      found.report(
        NO_STALE_PWC,
        op,
        'a table page is freed while the upper-level entry that led to it may be cached',
      );
    },
  },
};
