export type { MapGround, MapPlace } from './map-ground.ts';
export { type ContractCase, mapStrategyContract, type MapStrategyTraits } from './map-strategy.ts';
