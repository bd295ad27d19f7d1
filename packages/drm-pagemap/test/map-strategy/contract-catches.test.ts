import { type DmaDevice, dmaIovaDestroy } from '@gpusvm/dma-iova';
import { describe, expect, test } from 'vitest';
import { mapStrategyContract, type MapStrategyTraits } from '../../src/contract/map-strategy.ts';
import { mapStrategy } from '../../src/map-strategy/registry.ts';
import type { MapStrategy } from '../../src/map-strategy/strategy.ts';

const packed = mapStrategy('iova-packed');

/** Messages of the cases that fail, of those on a translated device. */
function failures(strategy: MapStrategy, traits?: MapStrategyTraits): string[] {
  const cases = mapStrategyContract(strategy, traits).filter((one) =>
    /strict(, linux-7.3)?\)/.test(one.name),
  );
  return cases.flatMap((one) => {
    try {
      one.run();
      return [];
    } catch (error) {
      return [String(error)];
    }
  });
}

describe('the contract finds', () => {
  test('a plain destroy across holes that is not declared as wrong', () => {
    expect(failures(mapStrategy('iova-holes-one-destroy')).join()).toMatch(/pages stay mapped/);
  });

  test('a strategy that is declared as leaking and does not', () => {
    expect(failures(mapStrategy('iova-hole-tolerant'), { leaksBehindHoles: true }).length).toBeGreaterThan(0);
  });

  test('a reservation that is freed while it is linked', () => {
    const wrong: MapStrategy = {
      ...packed,
      unmap(dev, state, pages, dir) {
        if (!state.usesIova) return packed.unmap(dev, state, pages, dir);
        dmaIovaDestroy(dev, state.iova, 0, dir, 0);
        state.reset();
      },
    };
    expect(failures(wrong).join()).toMatch(/pages stay mapped/);
  });

  test('packed pages whose address is computed from the slot', () => {
    const wrong: MapStrategy = {
      ...packed,
      map(dev: DmaDevice, state, pages, npages, dir, iovaAllowed) {
        const err = packed.map(dev, state, pages, npages, dir, iovaAllowed);
        if (err === 0 && state.usesIova) {
          for (let j = 0; j < pages.count; j++) pages.addr[j] = state.iova.addr + pages.slot[j]! * 4096;
        }
        return err;
      },
    };
    expect(failures(wrong).join()).toMatch(/reads|read-only/);
  });

  test('a fallback that is undone one entry short', () => {
    const wrong: MapStrategy = {
      ...packed,
      unmap(dev, state, pages, dir) {
        if (!state.usesIova && state.mapped > 0) state.mapped--;
        packed.unmap(dev, state, pages, dir);
      },
    };
    expect(failures(wrong).length).toBeGreaterThan(0);
  });
});
