import type { Iommufd } from './iommufd.ts';

/** Data of a hardware format: its type, and the bytes of its structure (see `encoded` and the tables of `uapi`). */
export interface DriverData {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** @internal Put data where a call can point to it. @returns its address, 0n when there is none. */
export function placeData(iommufd: Iommufd, bytes: Uint8Array | undefined): bigint {
  if (bytes === undefined || bytes.length === 0) return 0n;
  const scratch = iommufd.scratch(bytes.length);
  scratch.bytes.set(bytes);
  return scratch.address;
}
