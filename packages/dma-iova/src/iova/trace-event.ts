/** One `iommu:map` or `iommu:unmap` event of a kernel trace. */
export interface IovaTraceEvent {
  readonly kind: 'map' | 'unmap';
  /** 1-based line. */
  readonly line: number;
  readonly text: string;
  readonly iovaBytes: number;
  readonly sizeBytes: number;
  /** CPU number as printed; 0 when the line has none. */
  readonly cpu: number;
  /** Time stamp in nanoseconds; -1 when the line has none. */
  readonly timeNs: number;
  /** Task as printed, with its id (`dd-1234`); empty when the line has none. */
  readonly task: string;
}

const EVENT =
  /\b(map|unmap):\s+IOMMU: iova=0x([0-9a-f]+) - 0x[0-9a-f]+ (?:paddr=0x[0-9a-f]+ )?size=(0x[0-9a-f]+|\d+)/;
/** `task-pid [cpu] flags seconds.micros:` of /sys/kernel/tracing/trace, and the shape of trace-cmd and perf script. */
const HEAD = /^\s*(\S.*?)\s+\[(\d+)\]/;
const TIME = /\s(\d+)\.(\d+):\s/;

/**
 * Read a line of /sys/kernel/tracing/trace, trace_pipe, trace-cmd report or perf script.
 *
 * @returns null for everything but a whole `iommu:map` or `iommu:unmap` event.
 */
export function parseIovaTraceLine(text: string, line: number): IovaTraceEvent | null {
  const event = EVENT.exec(text);
  if (event === null) return null;
  const head = HEAD.exec(text);
  const time = TIME.exec(text);
  return {
    kind: event[1] as 'map' | 'unmap',
    line,
    text: text.trim(),
    iovaBytes: Number.parseInt(event[2]!, 16),
    sizeBytes: Number(event[3]),
    cpu: head === null ? 0 : Number(head[2]),
    timeNs: time === null ? -1 : Number(time[1]) * 1e9 + Number(`0.${time[2]}`) * 1e9,
    task: head === null ? '' : head[1]!,
  };
}

/** The kernel overwrote events before they were read (`CPU:2 [LOST 58 EVENTS]`). */
export function isLossLine(text: string): boolean {
  return /\[LOST \d+ EVENTS\]/.test(text);
}
