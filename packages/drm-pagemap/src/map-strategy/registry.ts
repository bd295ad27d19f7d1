import { iovaDummyFill } from './iova-dummy-fill.ts';
import { iovaHoleTolerant } from './iova-hole-tolerant.ts';
import { iovaHolesOneDestroy } from './iova-holes-one-destroy.ts';
import { iovaPacked } from './iova-packed.ts';
import { mapPage } from './map-page.ts';
import type { MapStrategy, MapStrategyName } from './strategy.ts';

/** Every strategy by name. */
const STRATEGIES: Readonly<Record<MapStrategyName, MapStrategy>> = Object.freeze({
  'map-page': mapPage,
  'iova-dummy-fill': iovaDummyFill,
  'iova-packed': iovaPacked,
  'iova-holes-one-destroy': iovaHolesOneDestroy,
  'iova-hole-tolerant': iovaHoleTolerant,
});

/** Names of all strategies, in the order of the debate. */
export const MAP_STRATEGIES: readonly MapStrategyName[] = Object.freeze([
  'map-page',
  'iova-dummy-fill',
  'iova-packed',
  'iova-holes-one-destroy',
  'iova-hole-tolerant',
] as const);

/**
 * The strategy with this name.
 *
 * @throws RangeError that lists the known names.
 */
export function mapStrategy(name: MapStrategyName): MapStrategy {
  const strategy = Object.hasOwn(STRATEGIES, name) ? STRATEGIES[name] : undefined;
  if (strategy === undefined) {
    throw new RangeError(`unknown mapping strategy ${name}: use one of ${MAP_STRATEGIES.join(', ')}`);
  }
  return strategy;
}
