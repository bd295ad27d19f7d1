import type { ContractCheck } from '@gpusvm/dma-iova/contract';
import type { Sys } from '../sys.ts';
import { fileContract } from './file-contract.ts';
import { nestedContract } from './nested-contract.ts';
import { pasidContract } from './pasid-contract.ts';
import type { Platform } from './row.ts';
import { viommuContract } from './viommu-contract.ts';

/**
 * What iommufd offers to virtual machine monitors, on the selftest's mock device: nested page tables, vIOMMUs with their
 * devices, events and queues, PASIDs, mappings of files. Needs CONFIG_IOMMUFD_TEST and no IOMMU.
 *
 * @param kernel - 6.12 has nested page tables and their invalidation only.
 */
export function virtualContract(makeSys: () => Sys, kernel: Platform['kernel']): readonly ContractCheck[] {
  const both = [...nestedContract(makeSys, kernel), ...fileContract(makeSys, kernel)];
  return kernel === '6.12' ? both : [...both, ...viommuContract(makeSys), ...pasidContract(makeSys)];
}
