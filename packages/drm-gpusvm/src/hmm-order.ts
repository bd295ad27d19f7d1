import { type HmmPfns, hmmPfnToMapOrder } from '@gpusvm/hmm';
import { ilog2 } from '@gpusvm/kernel';

/**
 * Order of the largest entry that starts at page `i` of the array (drm_gpusvm_hmm_pfn_to_order): what is left of the
 * CPU's huge mapping behind the page's offset in it, clipped to the array (CVE-2025-40336), rounded down to a power
 * of two. A huge mapping entered in its middle thus gives several smaller orders. O(1).
 *
 * @param i - page offset in the array.
 * @param npages - length of the array.
 */
export function hmmPfnToOrder(pfns: HmmPfns, i: number, npages: number): number {
  const order = hmmPfnToMapOrder(pfns.flags[i]!);
  if (order === 0) return 0;
  const mapped = 1 << order;
  const rest = mapped - (pfns.pfn[i]! & (mapped - 1));
  return ilog2(Math.min(rest, npages - i));
}
