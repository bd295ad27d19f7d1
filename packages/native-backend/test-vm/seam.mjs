import { mockContract, nvmeMemoryContract, seamContract } from '../dist/contract/index.js';
import { runChecks } from './run-checks.mjs';

/**
 * The contract suites of the seam: the IOMMU domain of the DMA layer over an IOAS, and, where the device can DMA, migration
 * to the NVMe namespace and back with every mapping strategy; on the mock device dirty tracking, page requests and accesses.
 */
export function seam({ sys, driver, kernel }) {
  const makeSys = () => sys;
  return runChecks(
    driver === 'mock'
      ? [...seamContract(makeSys, 'mock'), ...mockContract(makeSys, kernel)]
      : [...seamContract(makeSys, 'nvme'), ...nvmeMemoryContract(makeSys)],
  );
}
