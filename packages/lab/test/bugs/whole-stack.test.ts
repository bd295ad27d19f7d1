import type { DmaDevice } from '@gpusvm/dma-iova';
import { MAP_STRATEGIES } from '@gpusvm/drm-pagemap';
import { attachSanitizer, type RuleId, type Sanitizer } from '@gpusvm/sanitizer';
import { expect, it, vi } from 'vitest';
import { loadCapture } from '../../src/capture/capture-file.ts';
import { shippedCaptures } from '../../src/capture/shipped.ts';
import { compare } from '../../src/compare/compare.ts';

/** Sanitizers of the devices that a comparison makes inside, each attached where its device is made. */
const watching = vi.hoisted(() => ({
  sanitizers: [] as Sanitizer[],
  attach: (_device: DmaDevice): void => {},
}));
watching.attach = (device) =>
  watching.sanitizers.push(attachSanitizer(device.machine, { mode: 'report', devices: [device] }));

vi.mock(import('@gpusvm/dma-iova'), async (original) => {
  const layer = await original();
  class WatchedDevice extends layer.DmaDevice {
    constructor(...args: ConstructorParameters<typeof layer.DmaDevice>) {
      super(...args);
      watching.attach(this);
    }
  }
  return { ...layer, DmaDevice: WatchedDevice };
});

const capture = shippedCaptures().find(({ name }) => name === 'mthp')!;

it.each(['none', 'strict', 'lazy', 'swiotlb'] as const)(
  'in mode %s every scheme on real memory is silent, but for the one that destroys across holes',
  { timeout: 120_000 },
  (iommu) => {
    const found: Record<string, RuleId[]> = {};
    for (const strategy of MAP_STRATEGIES) {
      watching.sanitizers = [];
      const options = { strategies: [strategy], iommu, fault: '2M', kernel: 'linux-7.3', seed: 1 } as const;
      compare(capture.name, loadCapture(capture.file), options);
      expect(watching.sanitizers.length).toBeGreaterThan(0);
      for (const sanitizer of watching.sanitizers) sanitizer.finish();
      const rules = watching.sanitizers.flatMap((sanitizer) => sanitizer.brokenRules());
      if (rules.length > 0) found[strategy] = rules;
    }
    const translated = iommu === 'strict' || iommu === 'lazy';
    expect(found).toEqual(translated ? { 'iova-holes-one-destroy': ['I6', 'I8', 'I12', 'I15', 'I29'] } : {});
  },
);
