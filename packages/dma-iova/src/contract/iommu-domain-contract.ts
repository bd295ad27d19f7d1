import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, ERANGE } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import { IotlbGather } from '../iotlb-gather.ts';
import { type ContractCheck, ContractRandom, same } from './contract.ts';
import { BASE, type DomainUnderTest, entries, granule, RW } from './domain-under-test.ts';
import {
  everyLeafSize,
  mixedSizes,
  partsOfGranules,
  pgsizeBoundary,
  replacesEmptyTable,
  unmapSplit,
} from './leaf-checks.ts';
import { NaivePageTable } from './naive-page-table.ts';

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
