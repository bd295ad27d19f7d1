import type { DmaOp } from './op.ts';
import type { ReportedRange } from './report.ts';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import { LINKED, type SlotVisitor } from './shadow/slots.ts';

const SHOWN = 4;

/** A mapping record as a report shows it. */
export function describeMapping(device: DeviceShadow, id: number, taskName: string): ReportedRange {
  const { mappings, reservations } = device;
  const reservation = mappings.reservation(id);
  const addrBytes = mappings.firstPage(id) * 4096;
  const base = reservation === 0 ? 0 : reservations.firstPage[reservation]! * 4096;
  return {
    addrBytes,
    offsetBytes: addrBytes - base,
    sizeBytes: mappings.pages(id) * 4096,
    task: taskName,
    site: device.mappingSites[id] ?? '',
  };
}

/** The first few runs of a range whose flags have `wanted`, with the one who mapped them where that is known. */
export function survivorsIn(
  op: DmaOp,
  firstPage: number,
  pages: number,
  wanted: number,
  taskName: (id: number) => string,
): ReportedRange[] {
  const { slots, mappings, reservations, mappingSites } = op.device;
  const base = op.reservation === 0 ? 0 : reservations.firstPage[op.reservation]! * 4096;
  const found: ReportedRange[] = [];
  const visit: SlotVisitor = (page, n, flags, link) => {
    if ((flags & wanted) === 0 || found.length === SHOWN) return;
    const last = found[found.length - 1];
    const owner = (flags & LINKED) === 0 ? 0 : link;
    const task = owner === 0 ? '' : taskName(mappings.task(owner));
    const site = owner === 0 ? '' : (mappingSites[owner] ?? '');
    if (
      last !== undefined &&
      last.addrBytes + last.sizeBytes === page * 4096 &&
      last.task === task &&
      last.site === site
    ) {
      found[found.length - 1] = { ...last, sizeBytes: last.sizeBytes + n * 4096 };
      return;
    }
    found.push({ addrBytes: page * 4096, offsetBytes: page * 4096 - base, sizeBytes: n * 4096, task, site });
  };
  slots.visit(firstPage, pages, visit);
  return found;
}
