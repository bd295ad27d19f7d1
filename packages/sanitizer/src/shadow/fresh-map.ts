import type { DeviceShadow } from './device-shadow.ts';
import type { Frames } from './frames.ts';
import { REGION_PAGES } from './region.ts';
import { PRESENT } from './slot-flags.ts';
import { SlotRegion } from './slot-region.ts';

/**
 * One page that the page table has mapped into a slot without any past. The call of the DMA API that explains it comes
 * next, almost always, and then both are entered at once.
 */
export class FreshMap {
  live = false;
  device: DeviceShadow;
  region: SlotRegion = new SlotRegion();
  page = 0;
  pfn = 0;
  prot = 0;
  /** Flags of the slot: 0 or RESERVED. */
  flags = 0;

  constructor(device: DeviceShadow) {
    this.device = device;
  }

  /** The call did not come: enter the page alone. */
  settle(frames: Frames): void {
    this.live = false;
    const { region, device } = this;
    const i = this.page & (REGION_PAGES - 1);
    if (this.flags === 0) region.used++;
    region.flagsOf[i] = this.flags | PRESENT;
    region.pfnOf[i] = this.pfn;
    frames.addLeaves(this.pfn, 1, 1);
    device.changes.add(this.page, this.pfn, 1, this.prot);
  }
}
