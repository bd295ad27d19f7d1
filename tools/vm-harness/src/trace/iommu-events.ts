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

/**
 * The reservations behind a trace: a driver that reserves once and links piece by piece (dma_iova_*, or scattered
 * coherent memory) leaves many maps, and one unmap of the whole. Its maps become one, at the place of the first.
 *
 * A piece that is never unmapped stays as it is.
 */
export function foldReservations(events: readonly IommuEvent[]): IommuEvent[] {
  const folded: (IommuEvent | null)[] = [];
  /** Index in `folded` of each map that nothing has unmapped, by its IOVA. */
  const open = new Map<number, number>();
  for (const event of events) {
    if (event.kind === 'map') {
      open.set(event.iovaBytes, folded.length);
    } else {
      const pieces = [...open].filter(
        ([iova]) => iova >= event.iovaBytes && iova < event.iovaBytes + event.sizeBytes,
      );
      const first = Math.min(...pieces.map(([, index]) => index));
      for (const [iova, index] of pieces) {
        folded[index] = index === first ? { ...event, kind: 'map' } : null;
        open.delete(iova);
      }
    }
    folded.push(event);
  }
  return folded.filter((event) => event !== null);
}

/** Events as `iommu:map` and `iommu:unmap` print them: what compareIovaTrace of dma-iova reads. */
export function formatIommuEvents(events: readonly IommuEvent[]): string {
  const hex = (n: number): string => `0x${n.toString(16).padStart(16, '0')}`;
  return events
    .map(({ kind, iovaBytes, sizeBytes }) => {
      const range = `IOMMU: iova=${hex(iovaBytes)} - ${hex(iovaBytes + sizeBytes)}`;
      return kind === 'map'
        ? `map: ${range} paddr=${hex(0)} size=${sizeBytes}`
        : `unmap: ${range} size=${sizeBytes} unmapped_size=${sizeBytes}`;
    })
    .join('\n');
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
