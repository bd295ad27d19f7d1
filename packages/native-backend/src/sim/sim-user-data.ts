import { E2BIG, EFAULT, EINVAL, type Errno } from '@gpusvm/kernel';
import { decode, type Layout, offsetOfEnd, sizeOf } from '../uapi/layout.ts';
import type { SimFields, SimHost } from './sim-objects.ts';

/** A piece of driver data that a structure points to. */
export interface SimUserData {
  readonly type: number;
  readonly address: bigint;
  readonly lengthBytes: number;
}

/**
 * iommu_copy_struct_from_user: not shorter than the first version of the structure, not longer than this kernel's.
 *
 * @param type - what the data has to be.
 * @param last - last field of the first version.
 */
export function userData(
  host: SimHost,
  data: SimUserData,
  type: number,
  layout: Layout,
  last: string,
): SimFields | Errno {
  if (data.type !== type) return -EINVAL;
  if (data.lengthBytes < offsetOfEnd(layout, last) || data.lengthBytes > sizeOf(layout)) return -EINVAL;
  const bytes = host.space.copyFromUser(data.address, data.lengthBytes);
  return typeof bytes === 'number' ? -EFAULT : (decode(layout, bytes) as SimFields);
}

/** copy_struct_from_user: a longer structure may only end in zeroes, a shorter one counts as if it did. */
export function paddedUserData(
  host: SimHost,
  address: bigint,
  lengthBytes: number,
  layout: Layout,
): SimFields | Errno {
  const bytes = host.space.copyFromUser(address, lengthBytes);
  if (typeof bytes === 'number') return -EFAULT;
  if (bytes.subarray(sizeOf(layout)).some((byte) => byte !== 0)) return -E2BIG;
  return decode(layout, bytes.subarray(0, sizeOf(layout))) as SimFields;
}
