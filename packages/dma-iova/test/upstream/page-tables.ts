import { EADDRINUSE, EEXIST, Machine } from '@gpusvm/kernel';
import { expect } from 'vitest';
import { IO_PAGE_TABLES, type IoPageTableFormat, IotlbGather, PagingDomain } from '../../src/index.ts';
import type { UpstreamRow } from './rows.ts';

const RW = 3;
const ARM = ['arm-lpae', 'arm-lpae-16k', 'arm-lpae-64k'] as const;

function domain(format: IoPageTableFormat, levels?: number): PagingDomain {
  return new PagingDomain(new Machine(), {
    name: 'dut',
    format,
    ...(levels === undefined ? {} : { levels }),
  });
}

function unmap(d: PagingDomain, page: number, pages: number): number {
  const gather = new IotlbGather();
  const n = d.unmapRange(page, pages, gather);
  d.sync(gather);
  return n;
}

/** The self test of io-pgtable-arm for one page-size set and one width of IOVAs. */
function armSelftest(format: IoPageTableFormat, levels: number): void {
  const d = domain(format, levels);
  const sizes = format.leafOrders.map((order) => 2 ** order).filter((size) => 2 * size <= d.apertureLastPage);
  expect([0, 42, 2 ** 18 - 1].map((page) => d.translate(page))).toEqual([-1, -1, -1]);
  let at = 0;
  for (const size of sizes) {
    at = Math.ceil((at + 1) / size) * size;
    expect(d.mapRange(at, at, size, RW)).toBe(0);
    expect(d.mapRange(at, at + size, size, RW)).toBe(-EEXIST);
    expect(d.translate(at + Math.floor(size / 2))).toBe(at + Math.floor(size / 2));
    at += size;
  }
  // Partial unmap of a range of small pages and a map in its place.
  const [small, big] = [sizes[0]!, sizes[1]!];
  const range = 3 * big;
  d.mapRange(range + 64 * big, small, 4 * small, RW);
  expect(unmap(d, range + 64 * big + small, 2 * small)).toBe(2 * small);
  expect(d.translate(range + 64 * big + small)).toBe(-1);
  expect(d.mapRange(range + 64 * big + small, 9 * small, 2 * small, RW)).toBe(0);
  expect(d.translate(range + 64 * big + small + small)).toBe(10 * small);
  // Full unmap of every size, then a map of the same place.
  const leaves: [number, number][] = [];
  d.forEachLeaf((page, _pfn, pages) => leaves.push([page, pages]));
  for (const [page, pages] of leaves) {
    expect(unmap(d, page, pages)).toBe(pages);
    expect(d.translate(page)).toBe(-1);
    expect(d.mapRange(page, page, pages, RW)).toBe(0);
    expect(d.translate(page + pages - 1)).toBe(page + pages - 1);
    expect(unmap(d, page, pages)).toBe(pages);
  }
  expect(d.mappedPages).toBe(0);
}

export const pageTableRows: readonly UpstreamRow[] = [
  {
    suite: 'generic_pt iommu',
    name: 'map_table_to_oa',
    title: 'small maps leave empty tables at every level, and a leaf of every size replaces them',
    run: () => {
      for (const name of ['vtd', 'amdv1'] as const) {
        const format = IO_PAGE_TABLES[name];
        for (const order of format.leafOrders.filter((o) => o > 0 && o < 27)) {
          const d = domain(format);
          const size = 2 ** order;
          for (let at = 0; at < size; at += Math.max(1, size / 8)) {
            d.mapRange(size + at, 5, 1, RW);
            unmap(d, size + at, 1);
          }
          expect(d.mapRange(size, 2 * size, size, RW)).toBe(0);
          let leaves = 0;
          d.forEachLeaf((page, pfn, pages) => {
            leaves++;
            expect([page, pfn, pages]).toEqual([size, 2 * size, size]);
          });
          expect([leaves, unmap(d, size, size), d.mappedPages]).toEqual([1, size, 0]);
        }
      }
    },
  },
  {
    suite: 'generic_pt iommu',
    name: 'exit',
    title: 'no table page is left when a used domain goes',
    run: () => {
      for (const format of Object.values(IO_PAGE_TABLES)) {
        const machine = new Machine();
        const d = new PagingDomain(machine, { name: 'dut', format });
        const g = 2 ** format.granuleOrder;
        for (let i = 0; i < 300; i++) d.mapRange(i * i * 64 * g, 128 * g, g, RW);
        for (let i = 0; i < 300; i += 2) unmap(d, i * i * 64 * g, g);
        d.destroy();
        const counters = machine.counters.snapshot();
        expect([d.tables, counters.get('dma.tblPinned')]).toEqual([0, 0]);
        expect(counters.get('dma.tblAlloc')).toBe(counters.get('dma.tblFree'));
      }
    },
  },
  {
    suite: 'generic_pt iommu',
    name: 'overmap',
    title: 'a map over anything mapped is refused, whatever lies on either side, and changes nothing',
    run: () => {
      for (const name of ['vtd', 'amdv1'] as const) {
        const d = domain(IO_PAGE_TABLES[name]);
        d.mapRange(512, 1024, 512, RW);
        d.mapRange(1536, 7, 1, RW);
        const before: number[] = [];
        d.forEachLeaf((...leaf) => before.push(...leaf));
        for (const [page, pages] of [
          [500, 13],
          [512, 512],
          [700, 1],
          [1023, 2],
          [1030, 600],
          [0, 2048],
        ] as const) {
          expect(d.mapRange(page, 4096, pages, RW)).toBe(-EADDRINUSE);
          const after: number[] = [];
          d.forEachLeaf((...leaf) => after.push(...leaf));
          expect(after).toEqual(before);
        }
      }
    },
  },
  ...ARM.flatMap((name): UpstreamRow[] =>
    Array.from(
      { length: IO_PAGE_TABLES[name].levels.max - IO_PAGE_TABLES[name].levels.min + 1 },
      (_, i): UpstreamRow => ({
        suite: 'io-pgtable-arm',
        name: 'selftest',
        title: `${name}, ${IO_PAGE_TABLES[name].levels.min + i} levels: empty, every size, overlap, partial and full unmap`,
        run: () => armSelftest(IO_PAGE_TABLES[name], IO_PAGE_TABLES[name].levels.min + i),
      }),
    ),
  ),
];
