export { type ContractCheck, ContractRandom, same } from './contract.ts';
export type { DomainRules } from './domain-rules.ts';
export type { DomainUnderTest } from './domain-under-test.ts';
export { iommuDomainContract } from './iommu-domain-contract.ts';
export { type AllocatorUnderTest, iovaAllocatorContract } from './iova-allocator-contract.ts';
export { NaivePageTable } from './naive-page-table.ts';
export { physicalMemoryContract } from './physical-memory-contract.ts';
