import { EINVAL, EOVERFLOW, ERANGE, type Errno } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from './attributes.ts';
import type { IommuDomain } from './iommu-domain.ts';
import { IotlbGather } from './iotlb-gather.ts';
import { NO_PFN } from './physical-memory.ts';

const RIGHTS = IOMMU_READ | IOMMU_WRITE;
const ADDRESSES = 2 ** 64;
/** Physical addresses that the page tables of x86 can hold. */
const PHYSICAL = 2 ** 52;

/**
 * Map a range of bytes in a domain and make it visible (iommu_map; drivers/iommu/iommu.c and generic_pt/iommu_pt.h, 7.3). What
 * no page size fits is refused; a length that ends within a page is mapped up to there, then refused, then unmapped again: page
 * tables that this took stay.
 *
 * Never sleeps. One walk of the page table.
 *
 * @param prot - IOMMU_READ, IOMMU_WRITE and so on.
 * @returns 0, or as {@link IommuDomain.mapRange}, and for what it does not take: the domain's `unfittingErrno` for unaligned
 *   addresses or lengths, -ERANGE for physical addresses from 2^52 on, -EINVAL for no bytes, -EOVERFLOW for a range that
 *   goes beyond 2^64.
 */
export function iommuMap(
  domain: IommuDomain,
  iovaBytes: number,
  physBytes: number,
  sizeBytes: number,
  prot: number,
): Errno {
  if ((prot & RIGHTS) === 0) return domain.mapRange(0, 0, 0, prot);
  if (physBytes >= PHYSICAL) return -ERANGE;
  if (sizeBytes === 0) return -EINVAL;
  if (sizeBytes > ADDRESSES - iovaBytes) return -EOVERFLOW;
  const granule = 4096 * 2 ** domain.leafOrders[0]!;
  const rest = sizeBytes % granule;
  if (iovaBytes % granule !== 0 || physBytes % granule !== 0 || sizeBytes < granule)
    return domain.unfittingErrno;
  const pages = (sizeBytes - rest) / 4096;
  const page = iovaBytes / 4096;
  const pfn = physBytes / 4096;
  if (page + pages > domain.apertureLastPage && rest !== 0) return -ERANGE;
  const err = domain.mapRange(page, pfn, pages, prot);
  if (err !== 0) return err;
  if (rest !== 0) return refuseRest(domain, page, pfn, pages, prot);
  const synced = domain.syncMap(page, pages);
  if (synced !== 0) unmapPages(domain, page, pages);
  return synced;
}

/** What lies behind the whole granules gets a table if it needs one, but no leaf; then everything is undone. */
function refuseRest(domain: IommuDomain, page: number, pfn: number, pages: number, prot: number): Errno {
  const one = 2 ** domain.leafOrders[0]!;
  // Which page is tried does not matter; the next one may lie beyond the last physical address.
  const err = domain.mapRange(page + pages, pfn, one, prot);
  if (err === 0) unmapPages(domain, page + pages, one);
  unmapPages(domain, page, pages);
  return err === 0 ? domain.unfittingErrno : err;
}

/**
 * Unmap a range of bytes and invalidate it (iommu_unmap). No leaf is divided: a range that begins inside of one ends there, with
 * nothing unmapped, and one that ends inside of one takes all of it.
 *
 * Never sleeps. One walk, one invalidation; none when nothing was unmapped.
 *
 * @returns bytes unmapped, at most up to the first page that is not mapped; 0 for an unaligned start or no bytes.
 */
export function iommuUnmap(domain: IommuDomain, iovaBytes: number, sizeBytes: number): number {
  const granule = 4096 * 2 ** domain.leafOrders[0]!;
  if (iovaBytes % granule !== 0 || sizeBytes > ADDRESSES - iovaBytes) return 0;
  return unmapPages(domain, iovaBytes / 4096, (Math.ceil(sizeBytes / granule) * granule) / 4096) * 4096;
}

/** Physical address of an IOVA (iommu_iova_to_phys), its offset in the page included; 0 = none. */
export function iommuIovaToPhys(domain: IommuDomain, iovaBytes: number): number {
  const offset = iovaBytes % 4096;
  const pfn = domain.translate((iovaBytes - offset) / 4096);
  return pfn === NO_PFN ? 0 : pfn * 4096 + offset;
}

function unmapPages(domain: IommuDomain, page: number, pages: number): number {
  const gather = new IotlbGather();
  const unmapped = domain.unmapRange(page, pages, gather);
  domain.sync(gather);
  return unmapped;
}
