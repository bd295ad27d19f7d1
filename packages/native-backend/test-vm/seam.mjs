import {
  mockContract,
  nvmeMemoryContract,
  pciVirtualContract,
  seamContract,
  virtualContract,
} from '../dist/contract/index.js';
import { runChecks } from './run-checks.mjs';

/**
 * The contract suites of the seam: the IOMMU domain of the DMA layer over an IOAS, and, where the device can DMA, migration
 * to the NVMe namespace and back with every mapping strategy; on the mock device dirty tracking, page requests, accesses,
 * nested page tables, vIOMMUs, PASIDs and files, and what PCI functions answer to those.
 */
export function seam({ sys, driver, kernel }) {
  const makeSys = () => sys;
  return runChecks(
    driver === 'mock'
      ? [
          ...seamContract(makeSys, 'mock'),
          ...mockContract(makeSys, kernel),
          ...virtualContract(makeSys, kernel),
        ]
      : [
          ...seamContract(makeSys, 'nvme'),
          ...nvmeMemoryContract(makeSys),
          ...pciVirtualContract(makeSys, { driver, kernel }),
        ],
  );
}
