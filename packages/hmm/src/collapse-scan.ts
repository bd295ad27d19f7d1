import { FOLIO_ANON, FOLIO_DEVICE, FOLIO_ISOLATED } from './folio-flags.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import { MARKER_UFFD_WP, PTE_KIND, PTE_PRESENT, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { isMarker } from './try-to-unmap.ts';

/** How a collapse ended (enum scan_result). `swap`: fine, but something has to be faulted in first. */
export type ScanResult =
  | 'succeed'
  | 'swap'
  | 'pmd-null'
  | 'pmd-mapped'
  | 'exceed-none'
  | 'exceed-swap'
  | 'exceed-shared'
  | 'pte-non-present'
  | 'pte-uffd-wp'
  | 'page-ro'
  | 'page-anon'
  | 'page-null'
  | 'page-lock'
  | 'page-lru'
  | 'page-count'
  | 'lack-referenced'
  | 'alloc-fail'
  | 'vma-check'
  | 'fail';

/** What a collapse tolerates among the 512 entries. */
export interface CollapseLimits {
  readonly maxNone: number;
  /** Entries that are not present, device-private ones included. */
  readonly maxSwap: number;
  readonly maxShared: number;
  /** khugepaged leaves memory alone of which less than half is present while the rest is swapped out. */
  readonly needsReferenced: boolean;
}

/** hpage_collapse_scan_pmd: whether a 2 MiB block is worth a collapse. Does not sleep; changes nothing. */
export function scanPmd(mm: Mm, page: number, limits: CollapseLimits): ScanResult {
  const node = mm.pageTable.nodeOf(page);
  if (node === null) return 'pmd-null';
  // A device-private leaf is no candidate: to the scan it looks like no page table at all.
  if (node.huge !== 0) {
    const kind = node.huge & PTE_KIND;
    // The huge zero page counts as a huge page (find_pmd_or_thp_or_none).
    return kind === PTE_PRESENT || kind === PTE_ZERO ? 'pmd-mapped' : 'pmd-null';
  }
  return scan(mm, node, limits, true);
}

/** __collapse_huge_page_isolate: the same tests with everything present, under the page-table lock. */
export function checkPages(mm: Mm, node: PmdNode, limits: CollapseLimits): ScanResult {
  return scan(mm, node, limits, false);
}

function scan(mm: Mm, node: PmdNode, limits: CollapseLimits, allowSwap: boolean): ScanResult {
  let none = 0;
  let swapped = 0;
  let shared = 0;
  let present = 0;
  let writable = false;
  for (let slot = 0; slot < 512; slot++) {
    const bits = node.bits[slot]!;
    const kind = bits & PTE_KIND;
    if (kind === 0 || kind === PTE_ZERO) {
      if (++none > limits.maxNone) return 'exceed-none';
      continue;
    }
    if (kind !== PTE_PRESENT) {
      if (isMarker(node, slot, MARKER_UFFD_WP)) return 'pte-uffd-wp';
      if (!allowSwap) return 'pte-non-present';
      if (++swapped > limits.maxSwap) return 'exceed-swap';
      continue;
    }
    const why = unfit(mm, node.pfn[slot]!);
    if (why !== 'succeed') return why;
    if (mm.folios.mapcount(mm.folios.head(node.pfn[slot]!)) > mapcountAlone(mm, node.pfn[slot]!)) {
      if (++shared > limits.maxShared) return 'exceed-shared';
    }
    if ((bits & PTE_WRITE) !== 0) writable = true;
    present++;
  }
  if (!writable && mm.machine.profile.hmm.collapseNeedsWritable) return 'page-ro';
  if (limits.needsReferenced && (present === 0 || (swapped > 0 && present < 256))) return 'lack-referenced';
  return swapped > 0 ? 'swap' : 'succeed';
}

/** Map count of a folio that one process maps by single entries. */
function mapcountAlone(mm: Mm, pfn: number): number {
  return 2 ** mm.folios.order(pfn);
}

/** Whether a page may be copied away: anonymous, on the LRU, not locked, with no reference that is not accounted for. */
function unfit(mm: Mm, pfn: number): ScanResult {
  const { folios } = mm;
  const head = folios.head(pfn);
  const flags = folios.flags[head]!;
  if ((flags & FOLIO_ANON) === 0) return 'page-anon';
  // Coherent device memory; a device-private page is not present and was counted before.
  if ((flags & FOLIO_DEVICE) !== 0) return 'page-null';
  if ((flags & FOLIO_ISOLATED) !== 0) return 'page-lru';
  if (folios.isLocked(head)) return 'page-lock';
  const { other, pins, isolation } = folios.references(head);
  return other + pins + isolation === 0 ? 'succeed' : 'page-count';
}
