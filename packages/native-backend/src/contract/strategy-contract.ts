import { type ContractCheck, same } from '@gpusvm/dma-iova/contract';
import { MAP_STRATEGIES, mapStrategy, type MapStrategyName } from '@gpusvm/drm-pagemap';
import { type MapGround, mapStrategyContract, type MapStrategyTraits } from '@gpusvm/drm-pagemap/contract';
import { nativeDmaDevice } from '../native-dma-device.ts';
import { PinnedArena } from '../pinned-arena.ts';
import type { RigDevice } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import { NativeWorld } from './native-world.ts';

/** An unmap of iommufd steps over holes, so nothing leaks behind them; that it was short is still seen. */
const TRAITS: Partial<Record<MapStrategyName, MapStrategyTraits>> = {
  'iova-dummy-fill': { fillsHoles: true },
  'iova-holes-one-destroy': { warnsAtHoles: true },
};

/** As many as the suite asks for. */
const ARENA_PAGES = 4096;

/** How much of the suite is run. */
export interface StrategyContractOptions {
  /** Arrays with more folios are left out; default none. */
  readonly mostFolios?: number;
}

/**
 * What every mapping strategy must keep, over pinned memory and an IOAS: the suite of `drm_pagemap` unchanged, in strict and
 * lazy mode. All checks share one device and address space; after each of them nothing is mapped there.
 */
export function strategyContract(
  makeSys: () => Sys,
  device: RigDevice,
  options: StrategyContractOptions = {},
): readonly ContractCheck[] {
  return MAP_STRATEGIES.map((name) => ({
    name: `${name} keeps the contract of mapping strategies`,
    run: () => {
      const world = new NativeWorld(makeSys(), device, ARENA_PAGES);
      try {
        const ground = groundOf(world, options);
        for (const check of mapStrategyContract(mapStrategy(name), TRAITS[name], ground)) {
          try {
            check.run();
          } catch (error) {
            throw new Error(`${check.name}: ${error instanceof Error ? error.message : String(error)}`, {
              cause: error,
            });
          }
        }
      } finally {
        world[Symbol.dispose]();
      }
    },
  }));
}

function groundOf({ sys, ioas, arena }: NativeWorld, { mostFolios }: StrategyContractOptions): MapGround {
  return {
    modes: ['strict', 'lazy'],
    ...(mostFolios === undefined ? {} : { mostFolios }),
    make: (machine, mode, pages) => {
      if (mode !== 'strict' && mode !== 'lazy') throw new RangeError(`an IOAS has no mode '${mode}'`);
      const memory = new PinnedArena(machine, sys, { pages, memory: arena.memory });
      return {
        memory,
        device: nativeDmaDevice(machine, { name: 'device', ioas, arena: memory, iommu: mode }),
        close: () => {
          same(ioas.unmapAll(), 0, 'bytes that are still mapped in the address space');
          memory[Symbol.dispose]();
        },
      };
    },
  };
}
