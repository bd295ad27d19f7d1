import type { DmaOp } from './op.ts';
import type { ReportedRange } from './report.ts';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import type { MappingView } from './shadow/mapping-view.ts';
import { LINKED } from './shadow/slot-flags.ts';
import { visitSlots } from './shadow/slot-visit.ts';

const SHOWN = 4;

/** A mapping as a report shows it. */
export function describeMapping(
  device: DeviceShadow,
  { firstPage, pages, reservation, call }: MappingView,
  task: string,
  site: string,
): ReportedRange {
  const addrBytes = firstPage * 4096;
  const base = reservation === 0 ? 0 : device.reservations.firstPage[reservation]! * 4096;
  return { addrBytes, offsetBytes: addrBytes - base, sizeBytes: pages * 4096, task, call, site };
}

/** The first few runs of a range whose flags have `wanted`, with the one who mapped them where that is known. */
export function survivorsIn(
  op: DmaOp,
  firstPage: number,
  pages: number,
  wanted: number,
  describe: (mapping: MappingView) => ReportedRange,
): ReportedRange[] {
  const { slots, reservations } = op.device;
  const base = op.reservation === 0 ? 0 : reservations.firstPage[op.reservation]! * 4096;
  const found: ReportedRange[] = [];
  visitSlots(slots, firstPage, pages, (page, n, flags, link) => {
    if ((flags & wanted) === 0) return;
    const last = found[found.length - 1];
    const adjacent = last !== undefined && last.addrBytes + last.sizeBytes === page * 4096;
    if (found.length === SHOWN && !adjacent) return;
    const owner = (flags & LINKED) === 0 ? null : describe(op.device.mapping(link, page));
    const { task, call, site } = owner ?? { task: '', call: 0, site: '' };
    if (adjacent && last.task === task && last.site === site) {
      found[found.length - 1] = { ...last, sizeBytes: last.sizeBytes + n * 4096 };
    } else if (found.length < SHOWN) {
      const addrBytes = page * 4096;
      found.push({ addrBytes, offsetBytes: addrBytes - base, sizeBytes: n * 4096, task, call, site });
    }
  });
  return found;
}
