import type { Findings } from '../../rule.ts';
import type { DeviceShadow } from '../../shadow/device-shadow.ts';
import type { MappingView } from '../../shadow/mapping-view.ts';
import { LINKED, PRESENT, STALE } from '../../shadow/slot-flags.ts';
import { visitAllSlots } from '../../shadow/slot-visit.ts';

/** A slot that leads to a page frame. */
export interface FoundSlot {
  readonly device: DeviceShadow;
  readonly page: number;
  readonly flags: number;
  /** Null when no live mapping covers the slot. */
  readonly mapping: MappingView | null;
}

/** The first slot of any device that is present for a range of frames. Linear: for reports. */
export function deviceMapping(found: Findings, pfn: number, pages: number): FoundSlot | null {
  for (const device of found.devices()) {
    let hit: FoundSlot | null = null;
    visitAllSlots(device.slots, (first, n, flags) => {
      if ((flags & PRESENT) === 0 || hit !== null) return;
      for (let page = first; page < first + n && hit === null; page++) {
        const frame = device.slots.pfnAt(page);
        if (frame >= pfn && frame < pfn + pages)
          hit = { device, page, flags, mapping: (flags & LINKED) === 0 ? null : device.mappingAtPage(page) };
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
          hit = { device, page, flags, mapping: null };
      }
    });
    if (hit !== null) return hit;
  }
  return null;
}
