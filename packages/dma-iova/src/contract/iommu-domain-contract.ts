import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, ERANGE, type Machine } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import type { IommuDomain, IommuDomainCapabilities } from '../iommu-domain.ts';
import { IotlbGather } from '../iotlb-gather.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';
import type { DomainRules } from './domain-rules.ts';
import { NaivePageTable } from './naive-page-table.ts';

/** What the suite runs on. */
export interface DomainUnderTest {
  readonly machine: Machine;
  readonly domain: IommuDomain;
  /** The rules that the domain promises to follow. */
  readonly format: DomainRules;
  /** First IOVA page to use, a multiple of 2^14; default 2^20 (4 GiB), where every usual leaf size can begin. */
  readonly basePage?: number;
  /** Pages of memory that exist, at least 4096; default: whatever the format can address. */
  readonly memoryPages?: number;
}

const RW = IOMMU_READ | IOMMU_WRITE;
const EVERYTHING: IommuDomainCapabilities = {
  subAreaUnmap: true,
  deferredFlush: true,
  physicalAddresses: true,
  tables: true,
};
const BASE = 2 ** 20;

/** A page-frame number that exists, with the low bits of the one asked for. */
function existing(t: DomainUnderTest, pfn: number): number {
  return t.memoryPages === undefined ? pfn : pfn & 2047;
}

/**
 * The suite that every IOMMU domain passes, in all page-table variants and whatever is behind it. After the ideas
 * of the generic_pt KUnit tests (map_simple, map_table_to_oa, unmap_split, random_map, pgsize_boundary, mixed,
 * exit) and of the io-pgtable-arm self test.
 *
 * Checks that a domain's declared capabilities rule out are replaced by what it has to do instead, or left out where
 * there is nothing to see (`tables`).
 *
 * @param make - a fresh machine and domain for each check.
 * @param capabilities - of these domains; default everything.
 */
export function iommuDomainContract(
  make: () => DomainUnderTest,
  capabilities: IommuDomainCapabilities = EVERYTHING,
): readonly ContractCheck[] {
  const check = (name: string, run: (t: DomainUnderTest) => void): ContractCheck => ({
    name,
    run: () => run(make()),
  });
  return [
    check('an empty domain translates nothing', emptyTranslatesNothing),
    check('a leaf of every size maps, translates and unmaps, and its pages are counted', everyLeafSize),
    check('a map over something mapped is refused and changes nothing', overlapRefused),
    ...(capabilities.tables
      ? [
          check('a big leaf replaces a table that small unmaps have emptied', replacesEmptyTable),
          check('14 x 2M + 3 x 1G + 3 x 2M is split exactly so', mixedSizes),
        ]
      : []),
    check('an unmap at the start of a large leaf follows the format and does not run on', unmapSplit),
    check('bad arguments give their errno and map nothing', badArguments),
    check('the 0xfef80000 boundary gets the right leaves', pgsizeBoundary),
    check('a failed table allocation, whichever, leaves nothing mapped', kthAllocationFails),
    capabilities.deferredFlush
      ? check('a device uses a stale translation until it is invalidated, and never after', staleUntilSync)
      : check('a device never uses a translation after its unmap', neverStale),
    check('permissions are those of the map', permissions),
    check(
      '1000 random maps and unmaps agree with the naive table, and everything is freed',
      randomAgainstNaive,
    ),
  ];
}

function emptyTranslatesNothing({ domain, basePage: base = BASE }: DomainUnderTest): void {
  for (const page of [0, 1, base, domain.apertureLastPage]) same(domain.translate(page), -1, `page ${page}`);
  same([domain.mappedPages, domain.tables], [0, 0], 'mapped pages and tables');
}

function everyLeafSize({ domain, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  for (const order of domain.leafOrders) {
    const pages = 2 ** order;
    const page = Math.max(base, pages);
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

function overlapRefused({ domain, format, basePage: base = BASE }: DomainUnderTest): void {
  const err = format.occupied === 'eaddrinuse' ? -EADDRINUSE : -EEXIST;
  domain.mapRange(base + 5, 100, 3, RW);
  for (const [page, pages] of [
    [base + 5, 1],
    [base + 7, 4],
    [base, 6],
    [base, 512],
  ] as const) {
    same(domain.mapRange(page, 1024, pages, RW), err, `map of ${pages} pages at +${page - base}`);
    same(domain.mappedPages, 3, 'pages mapped after the refusal');
  }
  same(
    [5, 6, 7].map((at) => domain.translate(base + at)),
    [100, 101, 102],
    'what was there before',
  );
}

function replacesEmptyTable({ domain }: DomainUnderTest): void {
  const gather = new IotlbGather();
  domain.mapRange(BASE + 512, 1024, 512, RW); // keeps the upper tables
  domain.mapRange(BASE + 3, 7, 1, RW);
  const withTable = domain.tables;
  domain.unmapRange(BASE + 3, 1, gather);
  domain.sync(gather);
  same(domain.tables, withTable, 'an unmap that does not cover the table leaves it');
  same(domain.mapRange(BASE, 512, 512, RW), 0, 'the big leaf over the empty table');
  same(domain.tables, withTable - 1, 'tables after the replacement');
  same(domain.translate(BASE + 511), 1023, 'translation through the big leaf');
}

function unmapSplit({ domain, format, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  domain.mapRange(base, 512, 512, RW);
  domain.mapRange(base + 512, 2048 + 1, 4, RW);
  const removes = format.unmap.endInsideLeaf === 'remove';
  const requested = format.unmap.returns === 'requested';
  const expected = requested ? 1 : removes ? 512 : 0;
  same(domain.unmapRange(base, 1, gather), expected, 'pages reported');
  domain.sync(gather);
  same(domain.translate(base + 100), removes ? -1 : 612, 'the rest of the large leaf');
  same(domain.translate(base + 512), 2049, 'the neighbour');
}

function badArguments({ domain, machine, basePage: base = BASE }: DomainUnderTest): void {
  const before = machine.warnings;
  same(domain.mapRange(base, 1, 1, 0), -EINVAL, 'no permission');
  same(machine.warnings - before, 1, 'warnings about no permission');
  same(domain.mapRange(base, 1, 0, RW), -EINVAL, 'no pages');
  same(domain.mapRange(base, 2 ** 40, 1, RW), -ERANGE, 'physical address of 52 bits');
  same(domain.mapRange(2 ** 45, 1, 1, RW), -ERANGE, 'IOVA beyond every format');
  same([domain.mappedPages, domain.tables], [0, 0], 'after the errors');
}

function pgsizeBoundary(t: DomainUnderTest): void {
  const { domain, basePage: base = BASE } = t;
  // 512 KiB before a 2M boundary, then 512 KiB beyond: no leaf may cross it.
  // 0xfef80 with the usual base.
  const page = base - 0x1080;
  const pfn = existing(t, page);
  same(domain.mapRange(page, pfn, 256, RW), 0, 'map');
  for (const at of [0, 127, 128, 255]) same(domain.translate(page + at), pfn + at, `page +${at}`);
  same(domain.unmapRange(page, 256, new IotlbGather()), 256, 'unmap');
}

function mixedSizes({ domain }: DomainUnderTest): void {
  const big = 2 ** 18;
  const start = big * 5 - 14 * 512;
  const pages = 14 * 512 + 3 * big + 3 * 512;
  same(domain.mapRange(start, start, pages, RW), 0, 'map');
  const sizes = new Map<number, number>();
  domain.forEachLeaf((_page, _pfn, n) => sizes.set(n, (sizes.get(n) ?? 0) + 1));
  const counted = [...sizes].sort((a, b) => a[0] - b[0]);
  const sum = counted.reduce((total, [n, count]) => total + n * count, 0);
  same(sum, pages, 'pages of all leaves');
  const plain = domain.leafOrders.every((order) => order % 9 === 0);
  if (plain) {
    same(
      counted,
      [
        [512, 17],
        [big, 3],
      ],
      'leaves',
    );
  }
  same(domain.unmapRange(start, pages, new IotlbGather()), pages, 'unmap');
}

function kthAllocationFails({ domain, machine, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const page = base + 512 * 512 - 3;
  for (let k = 1; k < 12; k++) {
    machine.faultInjection.failNth('iommu.alloc_table', k);
    const err = domain.mapRange(page, 777, 512, RW);
    machine.faultInjection.reset();
    if (err === 0) {
      same(domain.unmapRange(page, 512, gather), 512, 'unmap after success');
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
  domain.mapRange(BASE, 40, 2, RW);
  same(domain.deviceTranslate(BASE, IOMMU_READ), 40, 'first access');
  domain.unmapRange(BASE, 2, gather);
  same(domain.translate(BASE), -1, 'the table has no entry any more');
  same(domain.deviceTranslate(BASE, IOMMU_READ), 40, 'stale access before the invalidation');
  same(domain.deviceTranslate(BASE + 1, IOMMU_READ), -1, 'access that was never cached');
  domain.sync(gather);
  same(domain.deviceTranslate(BASE, IOMMU_READ), -1, 'access after the invalidation');
}

function neverStale({ domain, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  domain.mapRange(base, 40, 2, RW);
  same(domain.deviceTranslate(base, IOMMU_READ), 40, 'first access');
  domain.unmapRange(base, 2, gather);
  same(domain.deviceTranslate(base, IOMMU_READ), -1, 'access after the unmap, before the invalidation');
  domain.sync(gather);
  same(domain.deviceTranslate(base, IOMMU_READ), -1, 'access after the invalidation');
}

function permissions({ domain, basePage: base = BASE }: DomainUnderTest): void {
  domain.mapRange(base, 40, 1, IOMMU_READ);
  domain.mapRange(base + 1, 41, 1, IOMMU_WRITE);
  const got = [base, base + 1].flatMap((page) => [
    domain.deviceTranslate(page, IOMMU_READ),
    domain.deviceTranslate(page, IOMMU_WRITE),
  ]);
  same(got, [40, -1, -1, 41], 'read and write of a read-only and a write-only page');
}

function randomAgainstNaive(t: DomainUnderTest): void {
  const { domain, format, basePage: base = BASE } = t;
  const random = new ContractRandom(7);
  const naive = new NaivePageTable(format);
  const gather = new IotlbGather();
  const span = 1800;
  for (let step = 0; step < 1000; step++) {
    const first = random.below(span);
    const pages = 1 + random.below(random.below(4) === 0 ? 700 : 12);
    const page = base + (random.below(3) === 0 ? first - (first % 16) : first);
    const kind = random.below(10);
    if (kind < 6) {
      const pfn = existing(t, page + [0, 1, 8, 512, 4096][random.below(5)]!);
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
      const at = base + random.below(span + 700);
      same(domain.translate(at), naive.translate(at), `step ${step}: translation of page +${at - base}`);
    }
  }
  domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
  domain.sync(gather);
  same([domain.mappedPages, domain.tables], [0, 0], 'at the end');
}
