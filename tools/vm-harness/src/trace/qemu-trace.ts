/** One line of QEMU's trace log. */
export interface QemuEvent {
  /** Such as `vtd_inv_desc_iotlb_pages`. */
  readonly name: string;
  /** The rest of the line. */
  readonly text: string;
}

/** What a VT-d was told to forget. */
export interface QemuInvalidation {
  readonly kind: 'range' | 'domain' | 'global';
  readonly domainId: number;
  /** First byte of the block; 0 unless a range. */
  readonly iovaBytes: number;
  /** log2 of the block in 4 KiB pages (the descriptor's address mask); -1 unless a range. */
  readonly order: number;
}

/** Events up to a marker. */
export interface QemuPhase {
  /** Number of the marker that ended the phase; null for what came after the last one. */
  readonly marker: number | null;
  readonly events: readonly QemuEvent[];
}

/**
 * IOVA of marker 0; marker n is n pages above. A guest maps and unmaps that page to separate phases of a trace in
 * band: the invalidation of the unmap is in the log, in order with the events of the phase.
 */
export const MARKER_IOVA_BYTES = 0x7000000000;
const MARKERS = 2 ** 20;

/** Read a log of `-trace vtd_* -D FILE`, with or without QEMU's `pid@time:` in front of an event. */
export function parseQemuTrace(text: string): QemuEvent[] {
  const events: QemuEvent[] = [];
  for (const line of text.split('\n')) {
    const match = /^(?:\d+@[\d.]+:)?([a-z]\w+) (.*)$/.exec(line);
    if (match !== null) events.push({ name: match[1]!, text: match[2]! });
  }
  return events;
}

/** The invalidation that an event is; null for other events. */
export function invalidationOf(event: QemuEvent): QemuInvalidation | null {
  const number = (name: string): number => {
    const match = new RegExp(`\\b${name} (0x[0-9a-f]+)`).exec(event.text);
    return match === null ? 0 : Number(match[1]);
  };
  switch (event.name) {
    case 'vtd_inv_desc_iotlb_pages':
      return { kind: 'range', domainId: number('domain'), iovaBytes: number('addr'), order: number('mask') };
    case 'vtd_inv_desc_iotlb_domain':
      return { kind: 'domain', domainId: number('domain'), iovaBytes: 0, order: -1 };
    case 'vtd_inv_desc_iotlb_global':
      return { kind: 'global', domainId: 0, iovaBytes: 0, order: -1 };
    default:
      return null;
  }
}

/** Number of the marker whose unmap an invalidation is; null for every other one. */
export function markerOf(invalidation: QemuInvalidation): number | null {
  const marker = (invalidation.iovaBytes - MARKER_IOVA_BYTES) / 4096;
  return invalidation.kind === 'range' && marker >= 0 && marker < MARKERS ? marker : null;
}

/**
 * Split a trace at its markers. In caching mode a marker is invalidated twice, by its map and by its unmap; both
 * are dropped.
 */
export function splitPhases(events: readonly QemuEvent[]): QemuPhase[] {
  const phases: QemuPhase[] = [];
  let current: QemuEvent[] = [];
  for (const event of events) {
    const invalidation = invalidationOf(event);
    const marker = invalidation === null ? null : markerOf(invalidation);
    if (marker === null) {
      current.push(event);
    } else if (phases.at(-1)?.marker !== marker) {
      phases.push({ marker, events: current });
      current = [];
    }
  }
  phases.push({ marker: null, events: current });
  return phases;
}

/** How often each event occurs. */
export function countEvents(events: readonly QemuEvent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name } of events) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
