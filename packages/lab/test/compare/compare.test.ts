import { describe, expect, it } from 'vitest';
import type { IommuMode } from '@gpusvm/dma-iova';
import { MAP_STRATEGIES, type MapStrategyName } from '@gpusvm/drm-pagemap';
import type { Capture } from '../../src/capture/capture.ts';
import { PageFlag } from '../../src/capture/capture.ts';
import { compare } from '../../src/compare/compare.ts';
import type { FaultSize, StrategyResult } from '../../src/compare/result.ts';
import { isRight } from '../../src/compare/verdict.ts';
import { anonVma, layout } from '../support/layout.ts';

const MODES: readonly IommuMode[] = ['none', 'strict', 'lazy', 'swiotlb'];
const RIGHT = MAP_STRATEGIES.filter((name) => name !== 'iova-holes-one-destroy');

/** Two 2 MiB pieces of memory: every third page written; a huge folio; a read-only file; a zero page. */
function mixed(): Capture {
  const base = 512 * 100;
  const holes = Array.from({ length: 170 }, (_, i) => ({ page: base + 3 * i, pages: 1, pfn: 1000 + 7 * i }));
  return layout(
    [
      anonVma(base, 512),
      anonVma(base + 512, 512),
      anonVma(base + 1024, 40, { kind: 'file', prot: { read: true, write: false, exec: true } }),
      anonVma(base + 2048, 512),
    ],
    [
      ...holes,
      { page: base + 512, pages: 512, pfn: 512 * 50, order: 9, flags: PageFlag.ANON | PageFlag.PMD_MAPPED },
      { page: base + 1024, pages: 8, pfn: 90_000, order: 2, flags: 0 },
      { page: base + 1040, pages: 3, pfn: 95_000, flags: 0 },
      { page: base + 2048, pages: 5, pfn: 99_000 },
      { page: base + 2060, pages: 1, pfn: 0, flags: PageFlag.ZERO | PageFlag.ANON },
    ],
  );
}

function run(
  iommu: IommuMode,
  fault: FaultSize = '2M',
  strategies: readonly MapStrategyName[] = MAP_STRATEGIES,
) {
  const result = compare('mixed', mixed(), { strategies, iommu, fault, kernel: 'linux-7.3', seed: 1 });
  return new Map<MapStrategyName, StrategyResult>(result.results.map((r) => [r.strategy, r]));
}

describe('compare', () => {
  for (const iommu of MODES) {
    for (const fault of ['2M', '64K', '4K'] as const) {
      it(`leaves an empty machine and right data with every right scheme: IOMMU ${iommu}, faults of ${fault}`, () => {
        const results = run(iommu, fault);
        for (const strategy of RIGHT) {
          const { left, warnings, data } = results.get(strategy)!;
          expect({ strategy, left, warnings, mismatch: data.firstMismatch }).toEqual({
            strategy,
            left: [],
            warnings: 0,
            mismatch: null,
          });
          expect(data.pagesChecked).toBe(2 * (170 + 512 + 11 + 6));
        }
      });
    }
  }

  it.each(['strict', 'lazy'] as const)(
    'shows the leak of one destroy across holes in %s mode and names it',
    (iommu) => {
      const result = run(iommu).get('iova-holes-one-destroy')!;
      expect(isRight(result)).toBe(false);
      expect(result.warnings).toBeGreaterThan(0);
      expect(result.leakedEntries).toBeGreaterThan(0);
      expect(result.left.map((item) => item.kind)).toContain('io page table leaf');
    },
  );

  it.each(['none', 'swiotlb'] as const)('finds no leak of it where nothing translates: %s', (iommu) => {
    expect(isRight(run(iommu).get('iova-holes-one-destroy')!)).toBe(true);
  });

  it('counts one invalidation per page for map-page and one per piece for the reservations', () => {
    const results = run('strict');
    const classic = results.get('map-page')!;
    const packed = results.get('iova-packed')!;
    expect(classic.iotlbInvalidations).toBeGreaterThanOrEqual(classic.mapPageCalls);
    expect(packed.iotlbInvalidations).toBeLessThan(classic.iotlbInvalidations / 10);
    expect(packed.mapPageCalls).toBe(0);
  });

  it('says that dummy filling shows the device pages that nobody asked for, and packing does not', () => {
    const results = run('strict');
    expect(results.get('iova-dummy-fill')!.exposedPages).toBeGreaterThan(0);
    expect(results.get('iova-packed')!.exposedPages).toBe(0);
  });

  it('gives the same result for the same capture and seed', () => {
    const options = {
      strategies: MAP_STRATEGIES,
      iommu: 'strict',
      fault: '2M',
      kernel: 'linux-7.3',
      seed: 7,
    } as const;
    expect(compare('mixed', mixed(), options)).toEqual(compare('mixed', mixed(), options));
  });

  it('works on an empty capture', () => {
    const { results } = compare('empty', layout([], []), {
      strategies: ['iova-packed'],
      iommu: 'strict',
      fault: '2M',
      kernel: 'linux-7.3',
      seed: 1,
    });
    expect(results[0]!.left).toEqual([]);
    expect(results[0]!.data.pagesChecked).toBe(0);
  });
});
