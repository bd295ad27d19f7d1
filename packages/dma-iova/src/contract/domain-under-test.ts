import type { Machine } from '@gpusvm/kernel';
import { IOMMU_READ, IOMMU_WRITE } from '../attributes.ts';
import type { IoPageTableFormat } from '../io-page-table/format.ts';
import type { IommuDomain } from '../iommu-domain.ts';

/** What the suite runs on. */
export interface DomainUnderTest {
  readonly machine: Machine;
  readonly domain: IommuDomain;
  /** The rules that the domain promises to follow. */
  readonly format: IoPageTableFormat;
}

/** Read and write. */
export const RW: number = IOMMU_READ | IOMMU_WRITE;
/** 4 GiB aligned IOVA page, so that every usual leaf size can begin there. */
export const BASE: number = 2 ** 20;

/** Pages of the smallest leaf. */
export function granule(domain: IommuDomain): number {
  return 2 ** domain.leafOrders[0]!;
}

/** Entries of a table. */
export function entries(format: IoPageTableFormat): number {
  return 2 ** format.bitsPerLevel;
}
