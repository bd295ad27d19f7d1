import type { Machine } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import type { IommuDomain, IommuDomainCapabilities } from '../iommu-domain.ts';
import type { DomainRules } from './domain-rules.ts';

/** What the suite runs on. */
export interface DomainUnderTest {
  readonly machine: Machine;
  readonly domain: IommuDomain;
  /** The rules that the domain promises to follow. */
  readonly format: DomainRules;
  /** First IOVA page to use, a multiple of 2^14; default 2^20 (4 GiB), where every usual leaf size can begin. */
  readonly basePage?: number;
  /** Pages of memory that exist, at least 8192; default: whatever the format can address. */
  readonly memoryPages?: number;
}

/** @internal */
export const RW: number = IOMMU_READ | IOMMU_WRITE;
/** @internal First IOVA page that is used unless the domain says otherwise. */
export const BASE: number = 2 ** 20;
/** @internal Capabilities of a simulated page table. */
export const EVERYTHING: IommuDomainCapabilities = {
  subAreaUnmap: true,
  deferredFlush: true,
  physicalAddresses: true,
  tables: true,
};

/** @internal A page-frame number that exists, with the low bits of the one asked for. */
export function existing(t: DomainUnderTest, pfn: number): number {
  return t.memoryPages === undefined ? pfn : pfn & 2047;
}

/** @internal Pages of the smallest leaf. */
export function granule(domain: IommuDomain): number {
  return 2 ** domain.leafOrders[0]!;
}

/** @internal Entries of a table. */
export function entries(format: DomainRules): number {
  return 2 ** format.bitsPerLevel;
}
