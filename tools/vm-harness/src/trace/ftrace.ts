/** One event of the kernel's trace. */
export interface FtraceEvent {
  /** Command name of the task. */
  readonly task: string;
  readonly pid: number;
  readonly cpu: number;
  /** Seconds since boot. */
  readonly seconds: number;
  /** Name without its system: `map` for `iommu:map`. */
  readonly event: string;
  /** The event's own format, for example `IOMMU: iova=0x... - 0x... paddr=0x... size=4096`. */
  readonly text: string;
}

const LINE = /^\s*(.+)-(\d+)\s+(?:\(.*\)\s+)?\[(\d+)\]\s+\S+\s+([\d.]+): (\w+): (.*)$/;

/** Read `/sys/kernel/tracing/trace`; headers and lines about lost events are not events. */
export function parseFtrace(text: string): FtraceEvent[] {
  const events: FtraceEvent[] = [];
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    events.push({
      task: match[1]!,
      pid: Number(match[2]),
      cpu: Number(match[3]),
      seconds: Number(match[4]),
      event: match[5]!,
      text: match[6]!,
    });
  }
  return events;
}

/** Events that the ring buffer lost: a trace with any of them proves nothing. */
export function lostEvents(text: string): number {
  let lost = 0;
  for (const match of text.matchAll(/\[LOST (\d+) EVENTS\]/g)) lost += Number(match[1]);
  const counts = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/.exec(text);
  return counts === null ? lost : Math.max(lost, Number(counts[2]) - Number(counts[1]));
}
