import { expect, test } from 'vitest';
import { lostEvents, parseFtrace } from '../../src/trace/ftrace.ts';

const TRACE = `# tracer: nop
#
# entries-in-buffer/entries-written: 3/3   #P:1
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
          insmod-71      [000] .....     2.115010: map: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 paddr=0x0000000001a2b000 size=4096
 kworker/u4:1 x-35      [001] d..1.     2.215010: unmap: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 size=4096 unmapped_size=4096
              sh-1       (      1) [000] d.h1.     3.5: io_page_fault: IOMMU:nvme 0000:00:05.0 iova=0x1 flags=0x0
`;

test('events have task, processor, time, name and text, and headers are skipped', () => {
  const events = parseFtrace(TRACE);
  expect(events.map((e) => [e.task, e.pid, e.cpu, e.seconds, e.event])).toEqual([
    ['insmod', 71, 0, 2.11501, 'map'],
    ['kworker/u4:1 x', 35, 1, 2.21501, 'unmap'],
    ['sh', 1, 0, 3.5, 'io_page_fault'],
  ]);
  expect(events[1]!.text).toContain('unmapped_size=4096');
});

test('events that the buffer lost are counted, from the header and from marks in the text', () => {
  expect(lostEvents(TRACE)).toBe(0);
  expect(lostEvents(TRACE.replace('3/3', '3/10'))).toBe(7);
  expect(lostEvents(`CPU:0 [LOST 12 EVENTS]\n${TRACE}`)).toBe(12);
});
