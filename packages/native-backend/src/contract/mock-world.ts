import type { ContractCheck } from '@gpusvm/dma-iova/contract';
import { invoke } from '../invoke.ts';
import { KernelError } from '../kernel-error.ts';
import type { Sys } from '../sys.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { NativeWorld } from './native-world.ts';

/** @internal Checks that each get a world with the mock device. */
export function inMockWorld(
  makeSys: () => Sys,
): (name: string, run: (world: NativeWorld) => void) => ContractCheck {
  return (name, run) => ({
    name,
    run: () => {
      const world = new NativeWorld(makeSys(), 'mock', 64);
      try {
        run(world);
      } finally {
        world[Symbol.dispose]();
      }
    },
  });
}

/** @internal The code of the KernelError that a function throws; '0' when it does not. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
  return '0';
}

/** @internal Attach the mock device to something else. @returns id of the page table, or a negated errno. */
export function replaceMock({ sys, iommufd, mock: ids }: NativeWorld, ptId: number): number {
  const { result, out } = invoke(sys, iommufd.fd, mock.TEST_MOCK_DOMAIN_REPLACE, {
    op: mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
    id: ids.stdevId,
    pt_id: ptId,
  });
  return result < 0 ? result : out.pt_id;
}
