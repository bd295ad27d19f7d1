import type { RuleId } from '../../rule-id.ts';
import type { DmaRule } from '../../rule.ts';
import { LINK_IN_BOUNDS } from './i01-link-in-bounds.ts';
import { LINK_ON_FREE } from './i02-link-on-free.ts';
import { LINK_ALIGN_START } from './i03-link-align-start.ts';
import { LINK_ALIGN_SIZE } from './i04-link-align-size.ts';
import { SYNC_BEFORE_USE } from './i05-sync-before-use.ts';
import { UNLINK_EXACT } from './i06-unlink-exact.ts';
import { UNLINK_NO_SPLIT } from './i07-unlink-no-split.ts';
import { DESTROY_PREFIX } from './i08-destroy-prefix.ts';
import { DESTROY_FULL_LEN } from './i09-destroy-full-len.ts';
import { FREE_EMPTY } from './i10-free-empty.ts';
import { NO_DOUBLE_FREE } from './i11-no-double-free.ts';
import { NO_STALE_IOPTE } from './i12-no-stale-iopte.ts';
import { NO_STALE_IOTLB } from './i13-no-stale-iotlb.ts';
import { NO_STALE_PWC } from './i14-no-stale-pwc.ts';
import { PAGE_REF } from './i15-page-ref.ts';
import { EXPOSURE } from './i16-exposure.ts';
import { DIR_MATCH } from './i17-dir-match.ts';
import { PERM } from './i18-perm.ts';
import { SWIOTLB_PAIRED } from './i19-swiotlb-paired.ts';
import { RANGE_LOCK } from './i20-range-lock.ts';
import { LIMIT } from './i21-limit.ts';
import { RESERVED_RANGES } from './i22-reserved.ts';
import { TREE_SANE } from './i23-tree-sane.ts';
import { TABLE_ACCOUNT } from './i24-table-account.ts';
import { UNLINKED_BEFORE_PAGE_FREE } from './i25-unlinked-before-page-free.ts';
import { MAP_ERR_CHECKED } from './i26-map-err-checked.ts';
import { RELEASE_CLEAN } from './i27-release-clean.ts';
import { OVERLAP_CACHELINE } from './i28-overlap-cacheline.ts';
import { SHORT_UNMAP_REPORT } from './i29-short-unmap-report.ts';
import { SYNC_RANGE } from './i30-sync-range.ts';

/** Every rule on the DMA layer, in the order of specification `dma-iova`, section 2. */
export const DMA_RULES: readonly DmaRule[] = [
  LINK_IN_BOUNDS,
  LINK_ON_FREE,
  LINK_ALIGN_START,
  LINK_ALIGN_SIZE,
  SYNC_BEFORE_USE,
  UNLINK_EXACT,
  UNLINK_NO_SPLIT,
  DESTROY_PREFIX,
  DESTROY_FULL_LEN,
  FREE_EMPTY,
  NO_DOUBLE_FREE,
  NO_STALE_IOPTE,
  NO_STALE_IOTLB,
  NO_STALE_PWC,
  PAGE_REF,
  EXPOSURE,
  DIR_MATCH,
  PERM,
  SWIOTLB_PAIRED,
  RANGE_LOCK,
  LIMIT,
  RESERVED_RANGES,
  TREE_SANE,
  TABLE_ACCOUNT,
  UNLINKED_BEFORE_PAGE_FREE,
  MAP_ERR_CHECKED,
  RELEASE_CLEAN,
  OVERLAP_CACHELINE,
  SHORT_UNMAP_REPORT,
  SYNC_RANGE,
];

/** Rules whose findings explain those of others in the same call; the rest follows in the order of the numbers. */
const CAUSES: readonly RuleId[] = ['I11', 'I26', 'I20', 'I25', 'I27', 'I3'];

/** Rules in the order in which they look at an event, so that the first report is the cause. */
export function causesFirst(rules: readonly DmaRule[]): readonly DmaRule[] {
  const causes = rules.filter(({ id }) => CAUSES.includes(id));
  causes.sort((a, b) => CAUSES.indexOf(a.id) - CAUSES.indexOf(b.id));
  return [...causes, ...rules.filter(({ id }) => !CAUSES.includes(id))];
}
