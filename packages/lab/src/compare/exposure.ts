import type { DmaDevice } from '@gpusvm/dma-iova';
import type { MapState, MapStrategy, SystemPages } from '@gpusvm/drm-pagemap';
import type { Errno } from '@gpusvm/kernel';

/** What a mapping scheme lets the device reach, beside what it was asked to map. */
export interface Exposure {
  /** Pages the driver asked to map, summed over all calls. */
  askedPages: number;
  /** Most pages reachable at one time that nobody had asked for: filled holes, and what an unmap left behind. */
  extraPagesMax: number;
}

/**
 * A strategy seen from outside: it maps and unmaps as before, and the number of pages that translate is compared
 * with the number that was asked for after every call.
 */
export function watchExposure(strategy: MapStrategy): { strategy: MapStrategy; exposure: Exposure } {
  const exposure: Exposure = { askedPages: 0, extraPagesMax: 0 };
  const asked = new WeakMap<MapState, number>();
  let liveAsked = 0;

  const note = (dev: DmaDevice): void => {
    if (dev.domain === null) return;
    exposure.extraPagesMax = Math.max(exposure.extraPagesMax, dev.domain.mappedPages - liveAsked);
  };

  const watched: MapStrategy = {
    ...describe(strategy),
    map(dev: DmaDevice, state: MapState, pages: SystemPages, npages, dir, iovaAllowed): Errno {
      const err = strategy.map(dev, state, pages, npages, dir, iovaAllowed);
      let wanted = 0;
      for (let i = 0; i < pages.count; i++) wanted += 2 ** pages.order[i]!;
      // A failed map is undone by the caller's unmap; until then what it mapped counts as asked for.
      asked.set(state, wanted);
      liveAsked += wanted;
      if (err === 0) exposure.askedPages += wanted;
      note(dev);
      return err;
    },
    unmap(dev, state, pages, dir): void {
      strategy.unmap(dev, state, pages, dir);
      liveAsked -= asked.get(state) ?? 0;
      asked.delete(state);
      note(dev);
    },
  };
  return { strategy: watched, exposure };
}

function describe(strategy: MapStrategy): Pick<MapStrategy, 'name' | 'summary' | 'source'> {
  return { name: strategy.name, summary: strategy.summary, source: strategy.source };
}
