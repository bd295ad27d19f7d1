// The contract suites of the seam on the real kernel, in a guest: the IOMMU domain of the DMA layer over an IOAS, and,
// where the device can DMA, migration to the NVMe namespace and back with every mapping strategy; on the mock device dirty
// tracking, page requests and accesses, nested page tables, vIOMMUs, PASIDs, files.
//   node seam.mjs vtd|amd|mock 6.12|7.3
import {
  mockContract,
  nvmeMemoryContract,
  pciVirtualContract,
  seamContract,
  virtualContract,
} from '../dist/contract/index.js';
import { linuxSys } from '../dist/index.js';
import { report } from './report.mjs';

const [driver, kernel] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
const makeSys = () => found.sys;
report(
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
