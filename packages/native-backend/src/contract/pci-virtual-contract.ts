import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import type { Sys } from '../sys.ts';
import { IOMMU_HWPT_ALLOC } from '../uapi/iommufd.ts';
import { IOMMU_HWPT_DATA_VTD_S1 } from '../uapi/iommufd-hardware.ts';
import { IOMMU_VIOMMU_ALLOC } from '../uapi/iommufd-virtual.ts';
import { codeOf } from './mock-world.ts';
import { NativeWorld } from './native-world.ts';
import type { Platform } from './row.ts';

/**
 * What an emulated IOMMU without scalable mode says to page tables of guests, vIOMMUs and PASIDs. Needs an NVMe device.
 * Differences by nature: 6.12 has no vIOMMUs; VT-d of 7.3 makes a page table for PASIDs for any device; the AMD driver of
 * 7.3 has no operation for nested page tables without an option of its own, where the others find no parent for one.
 */
export function pciVirtualContract(makeSys: () => Sys, platform: Platform): readonly ContractCheck[] {
  const check = (name: string, run: (world: NativeWorld, hwptId: number) => void): ContractCheck => ({
    name,
    run: () => {
      const world = new NativeWorld(makeSys(), 'nvme', 16);
      try {
        run(world, world.device!.attach(world.ioas));
      } finally {
        world[Symbol.dispose]();
      }
    },
  });
  return [
    check(
      'a PASID of a function without PASIDs is refused, and detaching it does nothing',
      ({ device, ioas }) => {
        const plain = ioas.allocHwpt(device!);
        const codes = [plain, ioas].map((target) => codeOf(() => device!.attachPasid(5, target)));
        same(codes, ['EINVAL', 'EINVAL'], 'attach to a page table, to an address space');
        const detached = codeOf(() => device!.detachPasid(5));
        same(detached, platform.kernel === '6.12' ? 'EINVAL' : '0', 'detach');
        const table = platform.driver === 'vtd' && platform.kernel === '7.3' ? '0' : 'EOPNOTSUPP';
        same(
          codeOf(() => ioas.allocHwpt(device!, { pasid: true })),
          table,
          'a page table for PASIDs',
        );
      },
    ),
    check('a vIOMMU is not to be had', ({ sys, iommufd, device }, hwptId) => {
      const values = { type: 1, dev_id: device!.id, hwpt_id: hwptId };
      const { result } = invoke(sys, iommufd.fd, IOMMU_VIOMMU_ALLOC, values);
      same(resultName(result), platform.kernel === '6.12' ? 'ENOTTY' : 'EOPNOTSUPP', 'result');
    }),
    check('a page table of a guest finds no parent', ({ sys, iommufd, device }, hwptId) => {
      const values = {
        dev_id: device!.id,
        pt_id: hwptId,
        data_type: IOMMU_HWPT_DATA_VTD_S1,
        data_len: 24,
        data_uptr: iommufd.scratch(24).address,
      };
      const { result } = invoke(sys, iommufd.fd, IOMMU_HWPT_ALLOC, values);
      const noOperation = platform.driver === 'amd' && platform.kernel === '7.3';
      same(resultName(result), noOperation ? 'EOPNOTSUPP' : 'EINVAL', 'result');
    }),
  ];
}
