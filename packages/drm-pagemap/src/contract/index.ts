export { type ContractCase, mapStrategyContract, type MapStrategyTraits } from './map-strategy.ts';
