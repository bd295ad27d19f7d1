import { type ContractCheck, iommuDomainContract } from '@gpusvm/dma-iova/contract';
import { IOMMUFD_CAPABILITIES, IommufdDomain } from '../iommufd-domain.ts';
import type { RigDevice } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import { IOMMUFD_DOMAIN_RULES } from './domain-rules.ts';
import { NativeWorld } from './native-world.ts';

const PAGES = 8192;
/** Inside of the mock's aperture of 31 bits; elsewhere the suite's own base. */
const MOCK_BASE_PAGE = 0x4000;

/**
 * The suite that every IOMMU domain of the DMA layer passes, over an IOAS of a system: simulated or real.
 *
 * @param makeSys - a system for each check; the same one may be returned again.
 */
export function seamContract(makeSys: () => Sys, device: RigDevice): readonly ContractCheck[] {
  let world: NativeWorld | null = null;
  const checks = iommuDomainContract(() => {
    world = new NativeWorld(makeSys(), device, PAGES);
    const { machine, ioas, arena } = world;
    return {
      machine,
      domain: new IommufdDomain(machine, { name: device, ioas, arena }),
      format: IOMMUFD_DOMAIN_RULES,
      memoryPages: PAGES,
      ...(device === 'mock' ? { basePage: MOCK_BASE_PAGE } : {}),
    };
  }, IOMMUFD_CAPABILITIES);
  return checks.map(({ name, run }) => ({
    name,
    run: () => {
      try {
        run();
      } finally {
        world?.[Symbol.dispose]();
        world = null;
      }
    },
  }));
}
