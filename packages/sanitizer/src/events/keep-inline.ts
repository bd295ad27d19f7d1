import type { DeviceShadow } from '../shadow/device-shadow.ts';
import { INLINE_PAGE } from '../shadow/inline-link.ts';
import { LINKED } from '../shadow/slot-flags.ts';
import { visitSlots } from '../shadow/slot-visit.ts';

/**
 * A mapping takes slots that belong to somebody already, which rule I23 has reported: inline mappings get records, so
 * that their owners' leaks are still known.
 */
export function keepInline(device: DeviceShadow, firstPage: number, pages: number): void {
  if ((device.slots.anyFlags(firstPage, pages) & LINKED) === 0) return;
  const { mappings } = device;
  visitSlots(device.slots, firstPage, pages, (page, _pages, flags, link) => {
    if ((flags & LINKED) === 0 || link >= 0) return;
    const mapping = device.mapping(link, page);
    if (mapping.kind === 'page')
      mappings.fill(mappings.take(), mapping, INLINE_PAGE, mapping.task, mapping.call);
  });
}
