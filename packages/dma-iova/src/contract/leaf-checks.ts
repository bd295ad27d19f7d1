import { IotlbGather } from '../iotlb-gather.ts';
import { same } from './contract.ts';
import { BASE, type DomainUnderTest, entries, granule, RW } from './domain-under-test.ts';

export function everyLeafSize({ domain }: DomainUnderTest): void {
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

export function replacesEmptyTable({ domain, format }: DomainUnderTest): void {
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

export function unmapSplit({ domain, format }: DomainUnderTest): void {
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

/** With 4 KiB pages nothing can be unaligned; with larger ones a part of one is refused on every side. */
export function partsOfGranules({ domain }: DomainUnderTest): void {
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

export function pgsizeBoundary({ domain }: DomainUnderTest): void {
  // 512 KiB before a 2M boundary, then 512 KiB beyond: no leaf may cross it.
  const page = 0xfef80;
  same(domain.mapRange(page, page, 256, RW), 0, 'map');
  for (const at of [0, 127, 128, 255]) same(domain.translate(page + at), page + at, `page +${at}`);
  same(domain.unmapRange(page, 256, new IotlbGather()), 256, 'unmap');
}

export function mixedSizes({ domain, format }: DomainUnderTest): void {
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
