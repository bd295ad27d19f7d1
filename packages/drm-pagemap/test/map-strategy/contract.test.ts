import { expect, test } from 'vitest';
import { type MapStrategyTraits, mapStrategyContract } from '../../src/contract/map-strategy.ts';
import { MAP_STRATEGIES, mapStrategy } from '../../src/map-strategy/registry.ts';
import type { MapStrategyName } from '../../src/map-strategy/strategy.ts';

const TRAITS: Partial<Record<MapStrategyName, MapStrategyTraits>> = {
  'iova-dummy-fill': { fillsHoles: true },
  'iova-holes-one-destroy': { leaksBehindHoles: true },
};

const CASES = MAP_STRATEGIES.flatMap((name) => mapStrategyContract(mapStrategy(name), TRAITS[name]));

test.each(CASES)('$name', ({ run }) => {
  expect(run).not.toThrow();
});
