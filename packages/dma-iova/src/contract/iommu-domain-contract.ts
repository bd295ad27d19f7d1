import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, ERANGE } from '@gpusvm/kernel';
import type { IommuDomainCapabilities } from '../iommu-domain.ts';
import { IotlbGather } from '../iotlb-gather.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';
import {
  freedTablesAreForgotten,
  neverStale,
  permissions,
  staleUntilSync,
} from './domain-invalidation-checks.ts';
import {
  BASE,
  type DomainUnderTest,
  entries,
  EVERYTHING,
  existing,
  granule,
  RW,
} from './domain-under-test.ts';
import { NaivePageTable } from './naive-page-table.ts';

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
          check(
            '14 leaves of the second size, 3 of the third, 3 of the second are split exactly so',
            mixedSizes,
          ),
        ]
      : []),
    check('an unmap at the start of a large leaf follows the format and does not run on', unmapSplit),
    check('bad arguments give their errno and map nothing', badArguments),
    check('what begins or ends inside of the smallest page is refused', partsOfGranules),
    check('the 0xfef80000 boundary gets the right leaves', pgsizeBoundary),
    check('a failed table allocation, whichever, leaves nothing mapped', kthAllocationFails),
    capabilities.deferredFlush
      ? check('a device uses a stale translation until it is invalidated, and never after', staleUntilSync)
      : check('a device never uses a translation after its unmap', neverStale),
    check('a table that was freed is forgotten by the page-walk cache', freedTablesAreForgotten),
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
  const g = granule(domain);
  domain.mapRange(base + 5 * g, 100 * g, 3 * g, RW);
  for (const [at, n] of [
    [5, 1],
    [7, 4],
    [0, 6],
    [0, entries(format)],
  ] as const) {
    same(domain.mapRange(base + at * g, 4096 * g, n * g, RW), err, `map of ${n} granules at +${at}`);
    same(domain.mappedPages, 3 * g, 'pages mapped after the refusal');
  }
  same(
    [5, 6, 7].map((at) => domain.translate(base + at * g)),
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

function unmapSplit({ domain, format, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = g * entries(format);
  domain.mapRange(base, span, span, RW);
  domain.mapRange(base + span, 4 * span + g, 4 * g, RW);
  const removes = format.unmap.endInsideLeaf === 'remove';
  const requested = format.unmap.returns === 'requested';
  const expected = requested ? g : removes ? span : 0;
  same(domain.unmapRange(base, g, gather), expected, 'pages reported');
  domain.sync(gather);
  same(domain.translate(base + 100), removes ? -1 : span + 100, 'the rest of the large leaf');
  same(domain.translate(base + span), 4 * span + g, 'the neighbour');
}

function badArguments({ domain, machine, basePage: base = BASE }: DomainUnderTest): void {
  const g = granule(domain);
  const before = machine.warnings;
  same(domain.mapRange(base, g, g, 0), -EINVAL, 'no permission');
  same(machine.warnings - before, 1, 'warnings about no permission');
  same(domain.mapRange(base, g, 0, RW), -EINVAL, 'no pages');
  same(domain.mapRange(base, 2 ** 40, g, RW), -ERANGE, 'physical address of 52 bits');
  same(domain.mapRange(2 ** 45, g, g, RW), -ERANGE, 'IOVA beyond every format');
  same([domain.mappedPages, domain.tables], [0, 0], 'after the errors');
}

/** With 4 KiB pages nothing can be unaligned; with larger ones a part of one is refused on every side. */
function partsOfGranules({ domain, basePage: base = BASE }: DomainUnderTest): void {
  const g = granule(domain);
  const part = g / 4;
  const expected =
    g === 1 ? [0, 0, 0] : [domain.unfittingErrno, domain.unfittingErrno, domain.unfittingErrno];
  const gather = new IotlbGather();
  const got = [
    [base + part, 64, g],
    [base + 64, 64 + part, g],
    [base + 128, 64, g + part],
  ].map(([page, pfn, pages]) => domain.mapRange(Math.floor(page!), Math.floor(pfn!), Math.floor(pages!), RW));
  same(got, expected, 'maps that begin or end inside a granule');
  if (g === 1) return;
  same(domain.mappedPages, 0, 'pages mapped by them');
  domain.mapRange(base, 64, 2 * g, RW);
  same(domain.unmapRange(base + part, g, gather), 0, 'an unmap that begins inside a granule');
  same(domain.mappedPages, 2 * g, 'pages mapped after it');
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

function kthAllocationFails({ domain, machine, format, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const n = entries(format);
  const page = base + n * 512 * g - 3 * g;
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

function randomAgainstNaive(t: DomainUnderTest): void {
  const { domain, format, basePage: base = BASE } = t;
  const random = new ContractRandom(7);
  const naive = new NaivePageTable(format);
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = 1800;
  for (let step = 0; step < 1000; step++) {
    const first = random.below(span);
    const pages = g * (1 + random.below(random.below(4) === 0 ? 700 : 12));
    const page = base + g * (random.below(3) === 0 ? first - (first % 16) : first);
    const kind = random.below(10);
    if (kind < 6) {
      const pfn = existing(t, page + g * [0, 1, 8, 512, 4096][random.below(5)]!);
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
      const at = base + random.below(g * (span + 700));
      same(domain.translate(at), naive.translate(at), `step ${step}: translation of page +${at - base}`);
    }
  }
  domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
  domain.sync(gather);
  same([domain.mappedPages, domain.tables], [0, 0], 'at the end');
}
