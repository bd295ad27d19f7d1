import type { DeviceShadow } from './device-shadow.ts';
import type { Frames } from './frames.ts';
import { mapSlots } from './slot-mapping.ts';
import { NO_REGION, type SlotRegion } from './slot-region.ts';

/**
 * What the page table has mapped into slots without any past. The call of the DMA API that explains it comes next,
 * almost always, and then both are entered at once.
 */
export class FreshMap {
  live = false;
  device: DeviceShadow;
  /** Name of the device's domain. */
  name = '';
  /** Region of the last single page. */
  region: SlotRegion = NO_REGION;
  page = 0;
  pages = 0;
  pfn = 0;
  prot = 0;
  /** Flags of every slot: 0 or RESERVED. */
  flags = 0;

  constructor(device: DeviceShadow) {
    this.device = device;
  }

  /** The call did not come: enter the pages alone. */
  settle(frames: Frames): void {
    this.live = false;
    const { device, page, pfn, pages } = this;
    frames.addLeaves(pfn, pages, 1);
    device.changes.add(page, pfn, pages, this.prot);
    mapSlots(device.slots, page, pages, pfn);
  }

  /** Its device goes. */
  forget(nobody: DeviceShadow): void {
    this.device = nobody;
    this.name = '';
    this.region = NO_REGION;
  }
}
