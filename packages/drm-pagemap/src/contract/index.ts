export { type MapGround, type MapPlace, SIMULATED_GROUND } from './map-ground.ts';
export { type ContractCase, mapStrategyContract, type MapStrategyTraits } from './map-strategy.ts';
