export { IOMMUFD_DOMAIN_RULES } from './domain-rules.ts';
export { behaviourContract, BEHAVIOUR_ROWS, type BehaviourCheck } from './behaviour-contract.ts';
export { type Difference, expectedLines, type Platform, type Row } from './row.ts';
