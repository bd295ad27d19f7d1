import type { Errno } from '@gpusvm/kernel';
import { placeData } from './driver-data.ts';
import { invoke } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { IOMMU_HWPT_INVALIDATE } from './uapi/iommufd-virtual.ts';

/** What an invalidation did. */
export interface Invalidated {
  /** 0, or the negated errno of the first entry that was refused. */
  readonly result: Errno;
  /** Entries in front of it, which were obeyed. */
  readonly handled: number;
}

/** @internal IOMMU_HWPT_INVALIDATE of a nested page table or a vIOMMU. */
export function invalidate(
  iommufd: Iommufd,
  id: number,
  type: number,
  entries: readonly Uint8Array[],
): Invalidated {
  const entryBytes = entries[0]?.length ?? 0;
  const odd = entries.find(({ length }) => length !== entryBytes);
  if (odd !== undefined)
    throw new RangeError(
      `an entry has ${odd.length} bytes and the first one ${entryBytes}: all need the same`,
    );
  const array = new Uint8Array(entries.length * entryBytes);
  for (const [i, entry] of entries.entries()) array.set(entry, i * entryBytes);
  const { result, out } = invoke(iommufd.sys, iommufd.fd, IOMMU_HWPT_INVALIDATE, {
    hwpt_id: id,
    data_uptr: placeData(iommufd, array),
    data_type: type,
    entry_len: entryBytes,
    entry_num: entries.length,
  });
  return { result, handled: out.entry_num };
}
