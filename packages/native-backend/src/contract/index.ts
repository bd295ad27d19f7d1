export { BEHAVIOUR_ROWS, type BehaviourCheck, behaviourContract } from './behaviour-contract.ts';
export { IOMMUFD_DOMAIN_RULES } from './domain-rules.ts';
export { faultContract, memlockContract } from './fault-contract.ts';
export { mockContract } from './mock-contract.ts';
export { nativeMapContract } from './native-map-contract.ts';
export { nvmeMemoryContract } from './nvme-memory-contract.ts';
export { type Difference, expectedLines, type Platform, type Row } from './row.ts';
export { seamContract } from './seam-contract.ts';
