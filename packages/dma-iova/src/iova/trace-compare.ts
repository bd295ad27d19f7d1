import type { IovaAllocator } from './iova-allocator.ts';

/** The first line of a recorded trace at which the allocator chose another address. */
export interface TraceDifference {
  /** 1-based line of the trace. */
  readonly line: number;
  readonly text: string;
  readonly expectedBytes: number;
  readonly gotBytes: number;
}

const MAP = /\bmap: IOMMU: iova=0x([0-9a-f]+) - 0x[0-9a-f]+ paddr=0x[0-9a-f]+ size=(\d+)/;
const UNMAP = /\bunmap: IOMMU: iova=0x([0-9a-f]+) - 0x[0-9a-f]+ size=(\d+)/;

/**
 * Replay a kernel trace of `iommu:map` and `iommu:unmap` against an allocator and report the first address that
 * differs: every map is an allocation of its size, every unmap a free. The trace must come from one device whose
 * mappings are classic ones, from its first mapping on, on one CPU.
 *
 * @param trace - text as in /sys/kernel/tracing/trace; other lines are ignored.
 * @param limitPage - last page below which the kernel allocated (its 32-bit-first limit, or the DMA mask).
 * @returns null when all addresses agree.
 */
export function compareIovaTrace(
  trace: string,
  iova: IovaAllocator,
  limitPage: number,
): TraceDifference | null {
  const lines = trace.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const text = lines[i]!;
    const unmap = UNMAP.exec(text);
    if (unmap !== null) {
      iova.free(Number.parseInt(unmap[1]!, 16) / 4096, Number(unmap[2]) / 4096, 0);
      continue;
    }
    const map = MAP.exec(text);
    if (map === null) continue;
    const expectedBytes = Number.parseInt(map[1]!, 16);
    const gotBytes = iova.alloc(Number(map[2]) / 4096, limitPage, true, 0) * 4096;
    if (gotBytes !== expectedBytes) return { line: i + 1, text: text.trim(), expectedBytes, gotBytes };
  }
  return null;
}
