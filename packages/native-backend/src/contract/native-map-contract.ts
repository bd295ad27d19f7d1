import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { MAP_STRATEGIES, mapStrategy } from '@gpusvm/drm-pagemap';
import { type MapGround, mapStrategyContract } from '@gpusvm/drm-pagemap/contract';
import { Nvme, NVME_WINDOW_BYTES } from '../devices/nvme.ts';
import { type NativeDmaDeviceOptions, nativeDmaDevice } from '../native-dma-device.ts';
import { PinnedArena } from '../pinned-arena.ts';
import type { Sys } from '../sys.ts';
import { NativeWorld, WORLD_WINDOW } from './native-world.ts';

const ARENA_PAGES = 4096;
/** Every access is a transfer of the device, and huge pages are the matter of the namespace's contract. */
const MOST_SLOTS = 64;
const RINGS = [{ firstByte: WORLD_WINDOW, lastByte: WORLD_WINDOW + NVME_WINDOW_BYTES - 1 }];

/**
 * The suite that every mapping strategy passes, on memory behind an IOAS. What the device sees is what it reads and
 * writes by DMA; the mock device has none, there the record of the domain answers. After every case nothing is mapped
 * in the IOAS but the rings.
 *
 * @param makeSys - a system for each case; the same one may be returned again.
 * @param modes - of the DMA layer; iommufd itself never defers an unmap.
 */
export function nativeMapContract(
  makeSys: () => Sys,
  kind: 'nvme' | 'mock',
  modes: MapGround['modes'] = ['strict', 'lazy'],
): readonly ContractCheck[] {
  let enter: MapGround['enter'] | null = null;
  const ground: MapGround = {
    modes,
    profiles: ['linux-7.3'],
    stepsOverHoles: true,
    mostSlots: MOST_SLOTS,
    enter: (machine, mode) => enter!(machine, mode),
  };
  return MAP_STRATEGIES.flatMap((name) => {
    const traits = {
      fillsHoles: name === 'iova-dummy-fill',
      leaksBehindHoles: name === 'iova-holes-one-destroy',
    };
    return mapStrategyContract(mapStrategy(name), traits, ground).map((one) => ({
      name: one.name,
      run: () => {
        using world = new NativeWorld(makeSys(), kind, 2);
        enter = deviceOn(world);
        one.run();
        const rings = kind === 'mock' ? 0 : NVME_WINDOW_BYTES;
        same(world.ioas.unmapAll(), rings, 'bytes that were still mapped: the rings and nothing else');
      },
    }));
  });
}

/** A device on the world's IOAS, with an arena of its own, for every map that is tried. */
function deviceOn(world: NativeWorld): MapGround['enter'] {
  const { sys, ioas, device } = world;
  const dma: Partial<NativeDmaDeviceOptions> =
    device === null ? {} : { engine: new Nvme(device, world.window()), reserved: RINGS };
  return (machine, mode) => {
    const arena = new PinnedArena(machine, sys, { pages: ARENA_PAGES, hugePages: false });
    const iommu = mode === 'lazy' ? 'lazy' : 'strict';
    return {
      memory: arena,
      device: nativeDmaDevice(machine, { ...dma, name: 'device', ioas, arena, iommu }),
      leave: () => arena[Symbol.dispose](),
    };
  };
}
