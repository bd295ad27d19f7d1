import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { compareIovaTrace, type IovaTraceReport, LinuxRbtree, SegmentTree } from '../../src/index.ts';
import { NaiveIovaDomain } from '../support/naive-iova-domain.ts';
import { Random } from '../support/random.ts';

const PAGE = 4096;
const MASK_40 = 2 ** 28 - 1;
/** Reserved windows of the machine of section 8. */
const WINDOWS = [
  [0xfee00000, 0xfeefffff],
  [0xa0000, 0xbffff],
  [0x40000000, 0xafffffff],
  [0xc0000000, 0xfebfffff],
  [0x100000000, 0x8ffffffff],
] as const;

function hex(bytes: number): string {
  return `0x${bytes.toString(16).padStart(16, '0')}`;
}

function head(cpu = 0, seconds = 1, task = 'dd-77'): string {
  return `${task.padStart(16)}    [${String(cpu).padStart(3, '0')}] d..2. ${seconds.toFixed(6)}:`;
}

function map(iova: number, pages: number, at = head()): string {
  return `${at} map: IOMMU: iova=${hex(iova)} - ${hex(iova + pages * PAGE)} paddr=0x0000000001000000 size=${pages * PAGE}`;
}

function unmap(iova: number, pages: number, at = head()): string {
  const size = pages * PAGE;
  return `${at} unmap: IOMMU: iova=${hex(iova)} - ${hex(iova + size)} size=${size} unmapped_size=${size}`;
}

function golden(cpus = 1): { iova: LinuxRbtree; machine: Machine } {
  const machine = new Machine({ cpus });
  const iova = new LinuxRbtree(machine);
  for (const [first, last] of WINDOWS) iova.reserve(Math.floor(first / PAGE), Math.floor(last / PAGE));
  return { iova, machine };
}

function compare(lines: readonly string[], limitPage = MASK_40): IovaTraceReport {
  return compareIovaTrace(lines.join('\n'), golden().iova, { limitPage });
}

/** Rows 10 and 11 of section 8: what Linux 7.3.4 handed out, as the trace of classic mappings it would be. */
const ROWS_10_11 = [
  map(0xfffff000, 1),
  map(0xffffe000, 1),
  map(0xffff8000, 3),
  map(0xffff0000, 5),
  map(0xfffc0000, 32),
  map(0xfff80000, 33),
  map(0xffc00000, 512),
  map(0xff800000, 513),
  map(0xff7ff000, 1),
  map(0xff7fc000, 2),
  unmap(0xffffe000, 1),
  map(0xffffe000, 1),
  unmap(0xffff8000, 3),
  map(0xffff8000, 4),
  unmap(0xfffc0000, 32),
  map(0xfffc0000, 17),
  unmap(0xfff80000, 33),
  map(0xfff80000, 64),
  map(0xfff40000, 33),
  unmap(0xffc00000, 512),
  map(0xffc00000, 512),
  unmap(0xff800000, 513),
  map(0xffa00000, 300),
  map(0xff9ff000, 1),
  unmap(0xfffff000, 1),
  unmap(0xffffe000, 1),
  map(0xffffe000, 1),
  map(0xfffff000, 1),
];

/** Row 16: a range that fits nowhere below 4 GiB ends the preference for good. */
const ROW_16 = [
  map(0xffc0000000, 2 ** 18),
  map(0xff80000000, 2 ** 18),
  map(0xff40000000, 2 ** 18),
  map(0xff00000000, 2 ** 18),
  map(0xfe00000000, 2 ** 20),
  map(0xfdffe00000, 512),
  map(0xfdffdff000, 1),
];

describe('a recorded kernel trace', () => {
  it('of rows 10 and 11 agrees address by address', () => {
    expect(compare(ROWS_10_11)).toEqual({
      difference: null,
      compared: 20,
      freed: 8,
      skipped: 0,
      lostAtLine: 0,
    });
  });

  it('of row 16 agrees, and disagrees where the preference below 4 GiB is not what the kernel had', () => {
    expect(compare(ROW_16)).toMatchObject({ difference: null, compared: 7 });
    const low = [map(0xfffff000, 1)];
    expect(
      compareIovaTrace(low.join('\n'), golden().iova, { limitPage: MASK_40, prefer32: false }).difference,
    ).toEqual({
      line: 1,
      text: low[0]!.trim(),
      expectedBytes: 0xfffff000,
      gotBytes: 0xfffffff000,
    });
  });

  it('of row 98 agrees: a cached address is the one freed last', () => {
    const pages = [0, 1, 2, 3, 4, 5].map((i) => 0xfffff000 - i * PAGE);
    const lines = [
      ...pages.map((page) => map(page, 1)),
      unmap(pages[0]!, 1),
      unmap(pages[3]!, 1),
      map(pages[3]!, 1),
      map(pages[0]!, 1),
    ];
    expect(compare(lines)).toMatchObject({ difference: null, compared: 8 });
  });

  it('is reported at the first address that differs, with both addresses', () => {
    const wrong = [...ROWS_10_11];
    wrong[17] = map(0xfff00000, 64);
    wrong[18] = map(0x1000, 33);
    const { difference, compared } = compare(wrong);
    expect(difference).toEqual({
      line: 18,
      text: wrong[17].trim(),
      expectedBytes: 0xfff00000,
      gotBytes: 0xfff80000,
    });
    expect(compared).toBe(14);
  });

  it('is not matched by an allocator with other rules', () => {
    const machine = new Machine();
    const report = compareIovaTrace(ROWS_10_11.join('\n'), new SegmentTree(machine), { limitPage: MASK_40 });
    expect(report.difference?.line).toBeGreaterThan(1);
  });
});

describe('lines of a trace that are not plain events', () => {
  it('are ignored: headers, other events, faults, cut lines, empty ones', () => {
    const noise = [
      '# tracer: nop',
      '#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION',
      '',
      `${head()} attach_device_to_domain: IOMMU: device=0000:01:00.0`,
      `${head()} add_device_to_group: IOMMU: groupID=7 device=0000:01:00.0`,
      `${head()} io_page_fault: IOMMU:intel-iommu 0000:01:00.0 iova=0x00000000fffff000 flags=0x0000`,
      `${head()} map: IOMMU: iova=0x00000000ffff`,
      `${head()} kmem_cache_alloc: call_site=map: IOMMU`,
      `${head()} dma_map_phys: 0000:01:00.0 dir=TO_DEVICE dma_addr=fffff000 size=4096`,
    ];
    const lines = ROWS_10_11.flatMap((line, i) => [noise[i % noise.length]!, line]);
    expect(compare(lines)).toEqual({ difference: null, compared: 20, freed: 8, skipped: 0, lostAtLine: 0 });
    expect(compare(noise)).toMatchObject({ difference: null, compared: 0 });
  });

  it('are read as trace-cmd and perf script print them, sizes in either base, lines ending in CR', () => {
    const lines = [
      'dd-77 [000] 10.1: map:                  IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 paddr=0x1000 size=0x1000\r',
      'dd 77 [000] 10.2: iommu:map: IOMMU: iova=0x00000000ffffe000 - 0x00000000fffff000 paddr=0x1000 size=4096',
      'iommu:unmap: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 size=4096 unmapped_size=4096',
      'map: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 paddr=0x1000 size=4096',
    ];
    expect(compare(lines)).toMatchObject({ difference: null, compared: 3, freed: 1 });
  });

  it('of other devices are left out by task, CPU or address; without that they are a difference', () => {
    const other = ROWS_10_11.flatMap((line, i) => [
      map(0xfffff000 - i * PAGE, 1, head(0, 1, 'kworker/0:1-9')),
      line,
    ]);
    const keep = (event: { task: string }): boolean => !event.task.startsWith('kworker');
    expect(compareIovaTrace(other.join('\n'), golden().iova, { limitPage: MASK_40, keep })).toMatchObject({
      difference: null,
      compared: 20,
      skipped: 0,
    });
    expect(compare(other).difference).not.toBeNull();
  });

  it('unmap what the trace did not map: nothing is freed', () => {
    const lines = [unmap(0xfffff000, 1), map(0xfffff000, 1), unmap(0xfffff000, 1), unmap(0xfffff000, 1)];
    expect(compare(lines)).toEqual({ difference: null, compared: 1, freed: 1, skipped: 2, lostAtLine: 0 });
  });

  it('say that events are lost: what follows is not compared', () => {
    const lines = [map(0xfffff000, 1), 'CPU:2 [LOST 58 EVENTS]', map(0x1000, 1)];
    expect(compare(lines)).toMatchObject({ difference: null, compared: 1, lostAtLine: 2 });
  });
});

describe('scatter lists in a trace', () => {
  it('are one allocation: the pieces that one unmap takes away', () => {
    const base = 0xffff0000;
    const lines = [
      map(base, 3),
      map(base + 3 * PAGE, 2),
      map(base + 5 * PAGE, 11),
      map(0xfffef000, 1),
      unmap(base, 16),
      map(base, 16),
    ];
    expect(compare(lines)).toEqual({ difference: null, compared: 3, freed: 1, skipped: 2, lostAtLine: 0 });
  });
});

describe('several CPUs in a trace', () => {
  it('have caches of their own, whatever their numbers', () => {
    const a = head(3);
    const b = head(64);
    const lines = [
      map(0xfffff000, 1, a),
      map(0xffffe000, 1, b),
      unmap(0xfffff000, 1, b), // cached where it is freed
      map(0xffffd000, 1, a),
      map(0xfffff000, 1, b),
    ];
    const two = golden(2).iova;
    expect(compareIovaTrace(lines.join('\n'), two, { limitPage: MASK_40 })).toMatchObject({
      difference: null,
      compared: 4,
    });
    const oneCpu = lines.map((line) => line.replace('[064]', '[003]'));
    expect(compare(oneCpu).difference).toMatchObject({ line: 4, gotBytes: 0xfffff000 });
  });

  it('with magazines, depot and its trimming agree over 20,000 events of the naive rules', () => {
    const random = new Random(5);
    const cpus = 2;
    const naive = new NaiveIovaDomain(cpus);
    const lines: string[] = [];
    const held: [number, number][] = [];
    // Every CPU speaks up once in order, so that numbers and indices agree.
    let ns = 1e9;
    for (let i = 0; i < 20_000; i++) {
      const cpu = i < cpus ? i : random.below(cpus);
      ns += random.below(300) === 0 ? 130e6 : 1000;
      naive.poll(ns - 1e9 - 1000);
      const at = head(cpu, ns / 1e9);
      const fill = Math.floor(i / 5000) % 2 === 0;
      if (i >= cpus && held.length > 0 && random.below(100) < (fill ? 20 : 80)) {
        const [[page, pages] = [0, 0]] = held.splice(random.below(held.length), 1);
        naive.free(page, pages, cpu, ns - 1e9 - 1000);
        lines.push(unmap(page * PAGE, pages, at));
      } else {
        const pages = random.pick([1, 1, 1, 2, 4, 40]);
        const page = naive.alloc(pages, 2 ** 20 - 1, false, cpu);
        held.push([page, pages]);
        lines.push(map(page * PAGE, pages, at));
      }
    }
    const machine = new Machine({ cpus });
    const options = { limitPage: 2 ** 20 - 1, clock: machine.clock };
    const report = compareIovaTrace(lines.join('\n'), new LinuxRbtree(machine), options);
    expect(report).toMatchObject({ difference: null, skipped: 0 });
    expect(report.compared + report.freed).toBe(20_000);
    expect(machine.counters.snapshot().get('dma.rcDepot')).toBeGreaterThan(8);
    // Without the clock the depots keep what the kernel had trimmed.
    const still = new LinuxRbtree(new Machine({ cpus }));
    expect(compareIovaTrace(lines.join('\n'), still, { limitPage: 2 ** 20 - 1 }).difference).not.toBeNull();
  });
});
