import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, ERANGE, type Machine } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import type { IoPageTableFormat } from '../io-page-table/format.ts';
import type { IommuDomain } from '../iommu-domain.ts';
import { IotlbGather } from '../iotlb-gather.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';
import { NaivePageTable } from './naive-page-table.ts';

/** What the suite runs on. */
export interface DomainUnderTest {
  readonly machine: Machine;
  readonly domain: IommuDomain;
  /** The rules that the domain promises to follow. */
  readonly format: IoPageTableFormat;
}

const RW = IOMMU_READ | IOMMU_WRITE;
/** 4 GiB aligned IOVA page, so that every usual leaf size can begin there. */
const BASE = 2 ** 20;

/**
 * The suite that every IOMMU domain passes, in all page-table variants and whatever is behind it. After the ideas
 * of the generic_pt KUnit tests (map_simple, map_table_to_oa, unmap_split, random_map, pgsize_boundary, mixed,
 * exit) and of the io-pgtable-arm self test.
 *
 * @param make - a fresh machine and domain for each check.
 */
export function iommuDomainContract(make: () => DomainUnderTest): readonly ContractCheck[] {
  const check = (name: string, run: (t: DomainUnderTest) => void): ContractCheck => ({
    name,
    run: () => run(make()),
  });
  return [
    check('an empty domain translates nothing', emptyTranslatesNothing),
    check('a leaf of every size maps, translates and unmaps, and its pages are counted', everyLeafSize),
    check('a map over something mapped is refused and changes nothing', overlapRefused),
    check('a big leaf replaces a table that small unmaps have emptied', replacesEmptyTable),
    check('an unmap at the start of a large leaf follows the format and does not run on', unmapSplit),
    check('bad arguments give their errno and map nothing', badArguments),
    check('what begins or ends inside of the smallest page is refused', partsOfGranules),
    check('the 0xfef80000 boundary gets the right leaves', pgsizeBoundary),
    check('14 leaves of the second size, 3 of the third, 3 of the second are split exactly so', mixedSizes),
    check('a failed table allocation, whichever, leaves nothing mapped', kthAllocationFails),
    check('a device uses a stale translation until it is invalidated, and never after', staleUntilSync),
    check('a table that was freed is forgotten by the page-walk cache', freedTablesAreForgotten),
    check('permissions are those of the map', permissions),
    check(
      '1000 random maps and unmaps agree with the naive table, and everything is freed',
      randomAgainstNaive,
    ),
  ];
}

function emptyTranslatesNothing({ domain }: DomainUnderTest): void {
  for (const page of [0, 1, BASE, domain.apertureLastPage]) same(domain.translate(page), -1, `page ${page}`);
  same([domain.mappedPages, domain.tables], [0, 0], 'mapped pages and tables');
}

function everyLeafSize({ domain }: DomainUnderTest): void {
  const gather = new IotlbGather();
  for (const order of domain.leafOrders) {
    const pages = 2 ** order;
    const page = Math.max(BASE, pages);
    if (page + pages - 1 > domain.apertureLastPage) continue;
    const pfn = pages * 2;
    same(domain.mapRange(page, pfn, pages, RW), 0, `map of order ${order}`);
    same(domain.mappedPages, pages, `pages mapped by order ${order}`);
    for (const at of [0, Math.floor(pages / 2), pages - 1]) {
      same(domain.translate(page + at), pfn + at, `page ${at} of order ${order}`);
    }
    const leaves: number[] = [];
    domain.forEachLeaf((first, to, n) => leaves.push(first, to, n));
    same(leaves, [page, pfn, pages], `the leaf of order ${order}`);
    same(domain.unmapRange(page, pages, gather), pages, `unmap of order ${order}`);
    domain.sync(gather);
    same([domain.mappedPages, domain.translate(page)], [0, -1], `after the unmap of order ${order}`);
  }
}

function overlapRefused({ domain, format }: DomainUnderTest): void {
  const err = format.occupied === 'eexist-warn' ? -EEXIST : -EADDRINUSE;
  const g = granule(domain);
  domain.mapRange(BASE + 5 * g, 100 * g, 3 * g, RW);
  for (const [at, n] of [
    [5, 1],
    [7, 4],
    [0, 6],
    [0, entries(format)],
  ] as const) {
    same(domain.mapRange(BASE + at * g, 4096 * g, n * g, RW), err, `map of ${n} granules at +${at}`);
    same(domain.mappedPages, 3 * g, 'pages mapped after the refusal');
  }
  same(
    [5, 6, 7].map((at) => domain.translate(BASE + at * g)),
    [100 * g, 101 * g, 102 * g],
    'what was there before',
  );
}

function replacesEmptyTable({ domain, format }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = g * entries(format);
  domain.mapRange(BASE + span, 2 * span, span, RW); // keeps the upper tables
  domain.mapRange(BASE + 3 * g, 7 * g, g, RW);
  const withTable = domain.tables;
  domain.unmapRange(BASE + 3 * g, g, gather);
  domain.sync(gather);
  same(domain.tables, withTable, 'an unmap that does not cover the table leaves it');
  same(domain.mapRange(BASE, span, span, RW), 0, 'the big leaf over the empty table');
  same(domain.tables, withTable - 1, 'tables after the replacement');
  same(domain.translate(BASE + span - 1), 2 * span - 1, 'translation through the big leaf');
}

function unmapSplit({ domain, format }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = g * entries(format);
  domain.mapRange(BASE, span, span, RW);
  domain.mapRange(BASE + span, 4 * span + g, 4 * g, RW);
  const removes = format.unmap.endInsideLeaf === 'remove';
  const requested = format.unmap.returns === 'requested';
  const expected = requested ? g : removes ? span : 0;
  same(domain.unmapRange(BASE, g, gather), expected, 'pages reported');
  domain.sync(gather);
  same(domain.translate(BASE + 100), removes ? -1 : span + 100, 'the rest of the large leaf');
  same(domain.translate(BASE + span), 4 * span + g, 'the neighbour');
}

function badArguments({ domain, machine }: DomainUnderTest): void {
  const g = granule(domain);
  const before = machine.warnings;
  same(domain.mapRange(BASE, g, g, 0), -EINVAL, 'no permission');
  same(machine.warnings - before, 1, 'warnings about no permission');
  same(domain.mapRange(BASE, g, 0, RW), -EINVAL, 'no pages');
  same(domain.mapRange(BASE, 2 ** 40, g, RW), -ERANGE, 'physical address of 52 bits');
  same(domain.mapRange(2 ** 45, g, g, RW), -ERANGE, 'IOVA beyond every format');
  same([domain.mappedPages, domain.tables], [0, 0], 'after the errors');
}

/** With 4 KiB pages nothing can be unaligned; with larger ones a part of one is refused on every side. */
function partsOfGranules({ domain }: DomainUnderTest): void {
  const g = granule(domain);
  const part = g / 4;
  const expected =
    g === 1 ? [0, 0, 0] : [domain.unfittingErrno, domain.unfittingErrno, domain.unfittingErrno];
  const gather = new IotlbGather();
  const got = [
    [BASE + part, 64, g],
    [BASE + 64, 64 + part, g],
    [BASE + 128, 64, g + part],
  ].map(([page, pfn, pages]) => domain.mapRange(Math.floor(page!), Math.floor(pfn!), Math.floor(pages!), RW));
  same(got, expected, 'maps that begin or end inside a granule');
  if (g === 1) return;
  same(domain.mappedPages, 0, 'pages mapped by them');
  domain.mapRange(BASE, 64, 2 * g, RW);
  same(domain.unmapRange(BASE + part, g, gather), 0, 'an unmap that begins inside a granule');
  same(domain.mappedPages, 2 * g, 'pages mapped after it');
}

function pgsizeBoundary({ domain }: DomainUnderTest): void {
  // 512 KiB before a 2M boundary, then 512 KiB beyond: no leaf may cross it.
  const page = 0xfef80;
  same(domain.mapRange(page, page, 256, RW), 0, 'map');
  for (const at of [0, 127, 128, 255]) same(domain.translate(page + at), page + at, `page +${at}`);
  same(domain.unmapRange(page, 256, new IotlbGather()), 256, 'unmap');
}

function mixedSizes({ domain, format }: DomainUnderTest): void {
  const small = granule(domain) * entries(format);
  // Formats with large granules have two sizes only.
  const big = format.granuleOrder === 0 ? small * 512 : small;
  const start = big * 35 - 14 * small;
  const pages = 14 * small + 3 * big + 3 * small;
  same(domain.mapRange(start, start, pages, RW), 0, 'map');
  const sizes = new Map<number, number>();
  domain.forEachLeaf((_page, _pfn, n) => sizes.set(n, (sizes.get(n) ?? 0) + 1));
  const counted = [...sizes].sort((a, b) => a[0] - b[0]);
  const sum = counted.reduce((total, [n, count]) => total + n * count, 0);
  same(sum, pages, 'pages of all leaves');
  const runs = domain.leafOrders.some((order) => (order - format.granuleOrder) % format.bitsPerLevel !== 0);
  if (!runs) {
    const leaves =
      big === small
        ? [[small, 20]]
        : [
            [small, 17],
            [big, 3],
          ];
    same(counted, leaves, 'leaves');
  }
  same(domain.unmapRange(start, pages, new IotlbGather()), pages, 'unmap');
}

function kthAllocationFails({ domain, machine, format }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const n = entries(format);
  const page = BASE + n * 512 * g - 3 * g;
  for (let k = 1; k < 12; k++) {
    machine.faultInjection.failNth('iommu.alloc_table', k);
    const err = domain.mapRange(page, 777 * g, n * g, RW);
    machine.faultInjection.reset();
    if (err === 0) {
      same(domain.unmapRange(page, n * g, gather), n * g, 'unmap after success');
      domain.sync(gather);
      return;
    }
    same([err, domain.mappedPages], [-ENOMEM, 0], `failure of table allocation ${k}`);
    // Empty tables may stay; drop them so that the next round allocates as many.
    domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
    domain.sync(gather);
    same(domain.tables, 0, `tables after failure ${k}`);
  }
  throw new Error('the map never succeeded');
}

function staleUntilSync({ domain }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const to = 40 * g;
  domain.mapRange(BASE, to, 2 * g, RW);
  same(domain.deviceTranslate(BASE, IOMMU_READ), to, 'first access');
  domain.unmapRange(BASE, 2 * g, gather);
  same(domain.translate(BASE), -1, 'the table has no entry any more');
  same(domain.deviceTranslate(BASE, IOMMU_READ), to, 'stale access before the invalidation');
  same(domain.deviceTranslate(BASE + g, IOMMU_READ), -1, 'access that was never cached');
  domain.sync(gather);
  same(domain.deviceTranslate(BASE, IOMMU_READ), -1, 'access after the invalidation');
}

/** The page-walk cache remembers a lowest table; it may not lead anywhere once that table is free again. */
function freedTablesAreForgotten({ domain, format }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = g * entries(format);
  for (let i = 0; i < entries(format); i++)
    domain.mapRange(BASE + i * g, 2 * span + ((i * 3) % 64) * g, g, RW);
  for (let i = 0; i < 4; i++) {
    same(
      domain.deviceTranslate(BASE + i * g + g - 1, IOMMU_READ),
      2 * span + i * 3 * g + g - 1,
      `granule ${i}`,
    );
  }
  if (domain.unmapRange(BASE, span, gather) !== span) throw new Error('the unmap fell short');
  domain.sync(gather);
  domain.mapRange(BASE + span, span, g, RW); // may get the table that is free now
  for (let i = 0; i < 4; i++)
    same(domain.deviceTranslate(BASE + i * g, IOMMU_READ), -1, `granule ${i} afterwards`);
}

function permissions({ domain }: DomainUnderTest): void {
  const g = granule(domain);
  domain.mapRange(BASE, 40 * g, g, IOMMU_READ);
  domain.mapRange(BASE + g, 41 * g, g, IOMMU_WRITE);
  const got = [BASE, BASE + g].flatMap((page) => [
    domain.deviceTranslate(page, IOMMU_READ),
    domain.deviceTranslate(page, IOMMU_WRITE),
  ]);
  same(got, [40 * g, -1, -1, 41 * g], 'read and write of a read-only and a write-only page');
}

function randomAgainstNaive({ domain, format }: DomainUnderTest): void {
  const random = new ContractRandom(7);
  const naive = new NaivePageTable(format);
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = 1800;
  for (let step = 0; step < 1000; step++) {
    const first = random.below(span);
    const pages = g * (1 + random.below(random.below(4) === 0 ? 700 : 12));
    const page = BASE + g * (random.below(3) === 0 ? first - (first % 16) : first);
    const kind = random.below(10);
    if (kind < 6) {
      const pfn = page + g * [0, 1, 8, 512, 4096][random.below(5)]!;
      same(domain.mapRange(page, pfn, pages, RW), naive.map(page, pfn, pages), `step ${step}: map`);
    } else if (kind < 9) {
      same(domain.unmapRange(page, pages, gather), naive.unmap(page, pages), `step ${step}: unmap`);
      domain.sync(gather);
    } else {
      const got = domain.unmapHoles(page, pages, gather);
      same(
        [got.clearedPages, got.holes, got.firstHolePage],
        naive.unmapHoles(page, pages),
        `step ${step}: unmap with holes`,
      );
      domain.sync(gather);
    }
    same(domain.mappedPages, naive.mappedPages, `step ${step}: mapped pages`);
    for (let probe = 0; probe < 8; probe++) {
      const at = BASE + random.below(g * (span + 700));
      same(domain.translate(at), naive.translate(at), `step ${step}: translation of page +${at - BASE}`);
    }
  }
  domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
  domain.sync(gather);
  same([domain.mappedPages, domain.tables], [0, 0], 'at the end');
}

/** Pages of the smallest leaf. */
function granule(domain: IommuDomain): number {
  return 2 ** domain.leafOrders[0]!;
}

/** Entries of a table. */
function entries(format: IoPageTableFormat): number {
  return 2 ** format.bitsPerLevel;
}
