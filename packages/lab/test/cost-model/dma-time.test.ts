import { describe, expect, it } from 'vitest';
import { COSTS } from '../../src/cost-model/constants.ts';
import { dmaTimeNs } from '../../src/cost-model/dma-time.ts';

const time = (values: Record<string, number>): number => dmaTimeNs((name) => values[name] ?? 0);

describe('dmaTimeNs', () => {
  it('charges a lone link 130 ns and its table, as the specification derives', () => {
    expect(time({ 'dma.walk': 1, 'dma.callLink': 1, 'dma.pteW': 1 })).toBe(130);
  });

  it('charges a classic mapping for its map, look-up, unmap and invalidation', () => {
    const ns = time({
      'dma.walk': 3,
      'dma.callMap': 1,
      'dma.callUnmap': 1,
      'dma.pteW': 2,
      'dma.iotlbInv': 1,
      'dma.rcHit': 1,
    });
    expect(ns).toBe(
      COSTS.mapCall.ns +
        COSTS.lookup.ns +
        COSTS.unmapCall.ns +
        COSTS.iotlbInvalidation.ns +
        COSTS.iovaCached.ns,
    );
  });

  it('charges nothing but bouncing where nothing translates', () => {
    expect(time({ 'dma.callMap': 512, 'dma.callUnmap': 512 })).toBe(0);
    expect(time({ 'dma.callMap': 1, 'dma.swiotlb': 2 })).toBe(2 * COSTS.bouncePage.ns);
  });
});

describe('COSTS', () => {
  it('gives every constant a source and an id of its own', () => {
    for (const [id, cost] of Object.entries(COSTS)) {
      expect(cost.id).toBe(id);
      expect(cost.ns).toBeGreaterThan(0);
      expect(cost.source.length).toBeGreaterThan(10);
    }
  });
});
