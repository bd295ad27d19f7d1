export { behaviourContract, BEHAVIOUR_ROWS, type BehaviourCheck } from './behaviour-contract.ts';
export { type Difference, expectedLines, type Platform, type Row } from './row.ts';
