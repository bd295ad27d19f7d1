import type { Findings } from '../../rule.ts';
import type { DeviceShadow } from '../../shadow/device-shadow.ts';
import { LINKED, PRESENT, STALE } from '../../shadow/slots.ts';

/** A slot that leads to a page frame. */
export interface FoundSlot {
  readonly device: DeviceShadow;
  readonly page: number;
  readonly flags: number;
  /** Mapping record; 0 when no live mapping covers the slot. */
  readonly mapping: number;
}

/** The first slot of any device that is present for a range of frames. Linear: for reports. */
export function deviceMapping(found: Findings, pfn: number, pages: number): FoundSlot | null {
  for (const device of found.devices()) {
    let hit: FoundSlot | null = null;
    device.slots.visitAll((first, n, flags, link) => {
      if ((flags & PRESENT) === 0) return;
      for (let page = first; page < first + n && hit === null; page++) {
        const frame = device.slots.pfnAt(page);
        if (frame >= pfn && frame < pfn + pages)
          hit = { device, page, flags, mapping: (flags & LINKED) === 0 ? 0 : link };
      }
    });
    if (hit !== null) return hit;
  }
  return null;
}

/**
 * The first slot that was unmapped from a range of frames and should have been invalidated since: what a lazy domain
 * has in its flush queue does not count.
 */
export function staleSlot(found: Findings, pfn: number, pages: number): FoundSlot | null {
  for (const device of found.devices()) {
    if (device.pending.length === 0) continue;
    let hit: FoundSlot | null = null;
    device.pending.forEach((first, n, missed) => {
      if (device.lazy && !missed) return;
      for (let page = first; page < first + n && hit === null; page++) {
        const flags = device.slots.flagsAt(page);
        const frame = device.slots.pfnAt(page);
        if ((flags & STALE) !== 0 && frame >= pfn && frame < pfn + pages)
          hit = { device, page, flags, mapping: 0 };
      }
    });
    if (hit !== null) return hit;
  }
  return null;
}
