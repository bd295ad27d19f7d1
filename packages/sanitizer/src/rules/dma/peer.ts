import type { DeviceShadow } from '../../shadow/device-shadow.ts';

/** A frame outside of the memory that the device shares with the CPU: the BAR of a peer. */
export function isPeer(device: DeviceShadow, pfn: number): boolean {
  return pfn >= device.frames;
}
