import { HMM_PFN_VALID, HmmPfns } from '@gpusvm/hmm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hmmPfnToOrder } from '../src/hmm-order.ts';

/** `npages` entries that begin `offset` pages into a huge mapping of this order; huge mappings follow each other. */
function mapping(order: number, offset: number, npages: number): HmmPfns {
  const pfns = new HmmPfns(npages);
  for (let i = 0; i < npages; i++) {
    pfns.pfn[i] = 4096 + offset + i;
    pfns.flags[i] = HMM_PFN_VALID | (order << 8);
  }
  return pfns;
}

describe('hmmPfnToOrder', () => {
  it('is the order of the mapping when entry and mapping begin together', () => {
    expect(hmmPfnToOrder(mapping(9, 0, 512), 0, 512)).toBe(9);
    expect(hmmPfnToOrder(mapping(4, 0, 512), 0, 512)).toBe(4);
    expect(hmmPfnToOrder(mapping(0, 3, 512), 7, 512)).toBe(0);
  });

  it('never reaches beyond the array (G7)', () => {
    expect(hmmPfnToOrder(mapping(9, 0, 16), 0, 16)).toBe(4);
    expect(hmmPfnToOrder(mapping(9, 0, 16), 5, 16)).toBe(3);
    expect(hmmPfnToOrder(mapping(9, 0, 1), 0, 1)).toBe(0);
  });

  it('cuts every array into entries that stay inside their mapping and add up to its length', () => {
    const scenario = fc.record({
      order: fc.integer({ min: 0, max: 9 }),
      offset: fc.integer({ min: 0, max: 600 }),
      npages: fc.integer({ min: 1, max: 600 }),
    });
    fc.assert(
      fc.property(scenario, ({ order, offset, npages }) => {
        const pfns = mapping(order, offset, npages);
        let i = 0;
        while (i < npages) {
          const size = 1 << hmmPfnToOrder(pfns, i, npages);
          const first = Math.floor(pfns.pfn[i]! / 2 ** order);
          const last = Math.floor((pfns.pfn[i]! + size - 1) / 2 ** order);
          expect(last).toBe(first);
          i += size;
        }
        expect(i).toBe(npages);
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});
