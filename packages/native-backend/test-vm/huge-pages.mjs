import { Machine } from '@gpusvm/kernel';
import { readFileSync } from 'node:fs';
import {
  bindToVfio,
  findPci,
  Iommufd,
  NVME_DEVICE,
  NVME_VENDOR,
  PinnedArena,
  VfioDevice,
} from '../dist/index.js';
import { runChecks } from './run-checks.mjs';

const IOVA = 0x2000000;
const HUGE = 2 ** 21;

/** Entries of the device's page table for 2 MiB from IOVA. */
function entries(sys, hugePages) {
  const [nvme] = findPci(sys, NVME_VENDOR, NVME_DEVICE);
  bindToVfio(sys, nvme);
  const iommufd = Iommufd.open(sys);
  const arena = new PinnedArena(new Machine(), sys, { pages: 1024 });
  const ioas = iommufd.allocIoas();
  ioas.hugePages = hugePages;
  VfioDevice.open(iommufd, nvme).attach(ioas);
  arena.bytes(512, 512).fill(1);
  ioas.map({ memory: arena.memory, offsetBytes: arena.offsetOf(512), lengthBytes: HUGE, iova: IOVA });
  const table = readFileSync(`/sys/kernel/debug/iommu/intel/${nvme}/domain_translation_struct`, 'utf8');
  const pages = table.split('\n').flatMap((line) => {
    const pfn = Number(/^0x[0-9a-f]+/.exec(line)?.[0] ?? NaN);
    return pfn >= IOVA / 4096 && pfn < (IOVA + HUGE) / 4096 ? [pfn] : [];
  });
  iommufd[Symbol.dispose]();
  arena[Symbol.dispose]();
  return pages.length;
}

function expectEntries(sys, hugePages, wanted) {
  const got = entries(sys, hugePages);
  if (got !== wanted) throw new Error(`got ${got} entries, expected ${wanted}`);
}

/** The arena gets huge pages, and the IOMMU one entry for each; debugfs of the VT-d shows the table. */
export function hugePages({ sys }) {
  return runChecks([
    { name: '2 MiB of the arena are one entry', run: () => expectEntries(sys, true, 1) },
    { name: 'with huge pages switched off they are 512', run: () => expectEntries(sys, false, 512) },
  ]);
}
