import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import type { MappingView } from '../../shadow/mapping-view.ts';

const CACHE_LINE = 64;

/**
 * I28. Two live mappings that write one cache line undo each other's data when the CPU cache is maintained or a
 * bounce slot is copied back (dma-debug: cacheline tracking, -EEXIST), unless SKIP_CPU_SYNC says that nobody does.
 * Devices that snoop and do not bounce share memory safely, so mirrors of one page by two of them are fine.
 */
export const OVERLAP_CACHELINE: DmaRule = {
  id: 'I28',
  name: 'OVERLAP_CACHELINE',
  statement: 'no two live write mappings with cache maintenance or bouncing share a cache line',
  checks: {
    link: (op, found) => check(op, found),
    map: (op, found) => check(op, found),
    mapSegment: (op, found) => check(op, found),
  },
};

function check(op: DmaOp, found: Findings): void {
  if (op.err !== 0 || op.pages <= 0 || !op.device.maintains(op.dir, op.attrs, op.bounced)) return;
  const frame = op.device.pageAt(op.physBytes);
  if (found.frames.writers.firstNonZero(frame, op.device.framesOf(op.physBytes, op.sizeBytes)) < 0) return;
  const start = floorLine(op.physBytes);
  const end = floorLine(op.physBytes + op.sizeBytes - 1) + CACHE_LINE;
  for (const device of found.devices()) {
    const others: MappingView[] = [];
    device.forEachMapping((mapping) => {
      if (!device.maintains(mapping.dir, mapping.attrs, mapping.bounced)) return;
      const from = floorLine(mapping.physBytes);
      const to = floorLine(mapping.physBytes + mapping.sizeBytes - 1) + CACHE_LINE;
      if (from < end && start < to) others.push(mapping);
    });
    const other = others.pop();
    if (other === undefined) continue;
    found.report(OVERLAP_CACHELINE, op, 'two write mappings share a cache line', {
      survivors: [found.mapping(device, other)],
    });
    return;
  }
}

function floorLine(bytes: number): number {
  return bytes - (bytes & (CACHE_LINE - 1));
}
