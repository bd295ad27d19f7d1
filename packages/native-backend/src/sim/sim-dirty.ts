import { EINVAL, EOPNOTSUPP, EOVERFLOW, type Errno } from '@gpusvm/kernel';
import type { SimHost, SimHwptObject } from './sim-objects.ts';
import { U64_MAX } from './sim-ioas.ts';

/** Arguments of IOMMU_HWPT_GET_DIRTY_BITMAP. */
export interface SimDirtyQuery {
  readonly iova: bigint;
  readonly length: bigint;
  readonly page_size: bigint;
  /** User address of the bitmap. */
  readonly data: bigint;
  readonly keep: boolean;
}

/** Remember a device write, for those page tables that were asked to. */
export function markDirty(hwpt: SimHwptObject, iova: bigint, lengthBytes: number): void {
  if (!hwpt.dirtyTracking) return;
  const first = iova / hwpt.dirtyBytes;
  const last = (iova + BigInt(lengthBytes) - 1n) / hwpt.dirtyBytes;
  for (let page = first; page <= last; page++) hwpt.dirty.add(page);
}

/** IOMMU_HWPT_SET_DIRTY_TRACKING: enabling forgets what was dirty. */
export function setDirtyTracking(hwpt: SimHwptObject, enable: boolean): Errno {
  if (!hwpt.dirtyCapable) return -EOPNOTSUPP;
  if (enable) hwpt.dirty.clear();
  hwpt.dirtyTracking = enable;
  return 0;
}

/** IOMMU_HWPT_GET_DIRTY_BITMAP: set one bit for every dirty page of the asked size; bits that are set stay. */
export function readDirtyBitmap(host: SimHost, hwpt: SimHwptObject, query: SimDirtyQuery): Errno {
  const err = checkRange(host, hwpt, query);
  if (err !== 0) return err;
  if (!hwpt.dirtyCapable) return -EOPNOTSUPP;
  const { iova, length, page_size: pageSize, data, keep } = query;
  const bytes = Number((length / pageSize + 7n) / 8n);
  const bitmap = host.space.copyFromUser(data, bytes);
  if (typeof bitmap === 'number') return bitmap;
  for (const granule of hwpt.dirty) {
    const start = granule * hwpt.dirtyBytes;
    const first = start > iova ? start : iova;
    const end = start + hwpt.dirtyBytes < iova + length ? start + hwpt.dirtyBytes : iova + length;
    if (first >= end) continue;
    for (let bit = (first - iova) / pageSize; bit <= (end - 1n - iova) / pageSize; bit++)
      bitmap[Number(bit / 8n)]! |= 1 << Number(bit % 8n);
    if (!keep) hwpt.dirty.delete(granule);
  }
  return host.space.copyToUser(data, bitmap);
}

/** iommufd_check_iova_range. */
function checkRange(host: SimHost, hwpt: SimHwptObject, query: SimDirtyQuery): Errno {
  const { iova, length, page_size: pageSize } = query;
  if (length === 0n && host.kernel.dirtyChecksLength) return -EINVAL;
  const last = BigInt.asUintN(64, iova + BigInt.asUintN(64, length - 1n));
  if (iova + BigInt.asUintN(64, length - 1n) > U64_MAX) return -EOVERFLOW;
  const alignment = hwpt.parent.ioas.alignment;
  if (iova % alignment !== 0n || (last + 1n) % alignment !== 0n) return -EINVAL;
  if (pageSize === 0n) return -EINVAL;
  // The kernel masks with page_size - 1, whether or not it is a power of two.
  if ((iova & (pageSize - 1n)) !== 0n || ((last + 1n) & (pageSize - 1n)) !== 0n) return -EINVAL;
  return 0;
}
