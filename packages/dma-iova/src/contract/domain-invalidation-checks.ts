import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import { IotlbGather } from '../iotlb-gather.ts';
import { same } from './contract.ts';
import { BASE, type DomainUnderTest, entries, granule, RW } from './domain-under-test.ts';

/* What a device sees: caches, their invalidation, permissions. */

/** @internal */
export function staleUntilSync({ domain }: DomainUnderTest): void {
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

/** @internal */
export function neverStale({ domain, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  domain.mapRange(base, 40, 2, RW);
  same(domain.deviceTranslate(base, IOMMU_READ), 40, 'first access');
  domain.unmapRange(base, 2, gather);
  same(domain.deviceTranslate(base, IOMMU_READ), -1, 'access after the unmap, before the invalidation');
  domain.sync(gather);
  same(domain.deviceTranslate(base, IOMMU_READ), -1, 'access after the invalidation');
}

/** @internal The page-walk cache remembers a lowest table; it may not lead anywhere once that table is free again. */
export function freedTablesAreForgotten({ domain, format, basePage: base = BASE }: DomainUnderTest): void {
  const gather = new IotlbGather();
  const g = granule(domain);
  const span = g * entries(format);
  for (let i = 0; i < entries(format); i++)
    domain.mapRange(base + i * g, 2 * span + ((i * 3) % 64) * g, g, RW);
  for (let i = 0; i < 4; i++) {
    same(
      domain.deviceTranslate(base + i * g + g - 1, IOMMU_READ),
      2 * span + i * 3 * g + g - 1,
      `granule ${i}`,
    );
  }
  if (domain.unmapRange(base, span, gather) !== span) throw new Error('the unmap fell short');
  domain.sync(gather);
  domain.mapRange(base + span, span, g, RW); // may get the table that is free now
  for (let i = 0; i < 4; i++)
    same(domain.deviceTranslate(base + i * g, IOMMU_READ), -1, `granule ${i} afterwards`);
}

/** @internal */
export function permissions({ domain, basePage: base = BASE }: DomainUnderTest): void {
  const g = granule(domain);
  domain.mapRange(base, 40 * g, g, IOMMU_READ);
  domain.mapRange(base + g, 41 * g, g, IOMMU_WRITE);
  const got = [base, base + g].flatMap((page) => [
    domain.deviceTranslate(page, IOMMU_READ),
    domain.deviceTranslate(page, IOMMU_WRITE),
  ]);
  same(got, [40 * g, -1, -1, 41 * g], 'read and write of a read-only and a write-only page');
}
