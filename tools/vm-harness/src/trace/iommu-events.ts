import { enclosingBlock } from './enclosing-block.ts';
import { parseFtrace } from './ftrace.ts';

/** One `iommu:map` or `iommu:unmap` of a trace. */
export interface IommuEvent {
  readonly kind: 'map' | 'unmap';
  readonly iovaBytes: number;
  readonly sizeBytes: number;
}

const FIELDS = /IOMMU: iova=(0x[0-9a-f]+) - 0x[0-9a-f]+ .*?\bsize=(\d+)/;

/** Maps and unmaps of a kernel trace, in their order. */
export function parseIommuEvents(trace: string): IommuEvent[] {
  return parseFtrace(trace).flatMap(({ event, text }) => {
    const fields = FIELDS.exec(text);
    if (fields === null || (event !== 'map' && event !== 'unmap')) return [];
    return [{ kind: event, iovaBytes: Number(fields[1]), sizeBytes: Number(fields[2]) }];
  });
}

/** The invalidation that each unmap of a strict VT-d domain asks for, as `address/order`. */
export function expectedInvalidations(events: readonly IommuEvent[]): string[] {
  return events
    .filter((event) => event.kind === 'unmap')
    .map(({ iovaBytes, sizeBytes }) => {
      const block = enclosingBlock(iovaBytes / 4096, (iovaBytes + sizeBytes) / 4096 - 1);
      return `${(block.page * 4096).toString(16)}/${block.order}`;
    });
}
