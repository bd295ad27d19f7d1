import { invoke } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
} from './uapi/iommufd.ts';
import type { U64 } from './u64.ts';

/** Which pages devices have written through one page table. */
export class DirtyTracking {
  readonly #iommufd: Iommufd;
  readonly #hwptId: number;

  /** @internal use {@link Hwpt.dirty}. */
  constructor(iommufd: Iommufd, hwptId: number) {
    this.#iommufd = iommufd;
    this.#hwptId = hwptId;
  }

  /** Begin with nothing dirty, or stop recording (IOMMU_HWPT_SET_DIRTY_TRACKING). @throws KernelError EOPNOTSUPP */
  enable(on = true): void {
    const values = { flags: on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0, hwpt_id: this.#hwptId };
    const { sys, fd } = this.#iommufd;
    check(
      IOMMU_HWPT_SET_DIRTY_TRACKING.name,
      invoke(sys, fd, IOMMU_HWPT_SET_DIRTY_TRACKING, values).result,
      values,
    );
  }

  /**
   * Pages written since the last read (IOMMU_HWPT_GET_DIRTY_BITMAP).
   *
   * @param iova - start; a multiple of `pageBytes`.
   * @param lengthBytes - a multiple of `pageBytes`; mapped without a gap.
   * @param keep - leave them dirty.
   * @returns indices of the dirty pages in the range, ascending.
   * @throws KernelError EINVAL
   */
  read(iova: U64, lengthBytes: number, pageBytes: number, keep = false): number[] {
    const pages = Math.ceil(lengthBytes / pageBytes);
    const bitmapBytes = Math.ceil(pages / 64) * 8;
    const scratch = this.#iommufd.scratch(bitmapBytes);
    scratch.bytes.fill(0, 0, bitmapBytes);
    const values = {
      hwpt_id: this.#hwptId,
      flags: keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
      iova: BigInt(iova),
      length: BigInt(lengthBytes),
      page_size: BigInt(pageBytes),
      data: scratch.address,
    };
    const { sys, fd } = this.#iommufd;
    const { result } = invoke(sys, fd, IOMMU_HWPT_GET_DIRTY_BITMAP, values);
    check(IOMMU_HWPT_GET_DIRTY_BITMAP.name, result, values);
    const dirty: number[] = [];
    for (let i = 0; i < pages; i++) if ((scratch.bytes[i >> 3]! & (1 << (i & 7))) !== 0) dirty.push(i);
    return dirty;
  }
}
