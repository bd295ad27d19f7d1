import { dmaCounters } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import type { ListMapping } from '../../shadow/list-mapping.ts';

/**
 * I27. A device that goes has no reservation and no mapping left (dma-debug: "device driver has pending DMA
 * allocations while released from device"). Each leak is reported with the one who made it.
 */
export const RELEASE_CLEAN: DmaRule = {
  id: 'I27',
  name: 'RELEASE_CLEAN',
  statement: 'nothing is reserved or mapped when a device is released',
  checks: {
    release(op, found) {
      const { device } = op;
      const { reservations } = device;
      reservations.forEach((reservation) => {
        const linked = reservations.linked[reservation]!;
        found.report(RELEASE_CLEAN, op, `a reservation was never freed, ${linked} of its pages are linked`, {
          reservation,
          firstPage: reservations.firstPage[reservation]!,
          pages: reservations.pages[reservation]!,
        });
      });
      device.forEachMapping((mapping) => {
        if (mapping.kind !== 'page') return;
        const { firstPage, pages } = mapping;
        const survivors = [found.mapping(device, mapping)];
        found.report(RELEASE_CLEAN, op, 'a mapping was never undone', { firstPage, pages, survivors });
      });
      for (const buffer of device.coherent.keys()) {
        found.report(RELEASE_CLEAN, op, `${buffer.sizeBytes} bytes of coherent memory were never freed`, {
          firstPage: Math.floor(buffer.dmaAddrBytes / 4096),
          pages: buffer.pages,
        });
      }
      for (const list of device.lists.values()) leaked(op, found, list, '');
      for (const list of device.lostLists) leaked(op, found, list, ', but mapped once more');
    },
    end(op, found) {
      if (found.strangers) return;
      const counters = dmaCounters(found.machine);
      let held = found.leakedRanges;
      for (const device of found.watched) held += device.flushQueue?.size ?? 0;
      const lost = counters.get('iovaAlloc') - counters.get('iovaFree') - held;
      if (lost > 0)
        found.report(
          RELEASE_CLEAN,
          op,
          `${lost} ranges of IOVA space were never given back by those who undid a mapping`,
        );
    },
  },
};

function leaked(op: DmaOp, found: Findings, list: ListMapping, how: string): void {
  const { firstPage, pages, segments } = list;
  const survivors = [found.list(op.device, list)];
  const what = `a scatter list of ${segments} segments was never unmapped${how}`;
  found.report(RELEASE_CLEAN, op, what, { firstPage, pages, survivors });
}
