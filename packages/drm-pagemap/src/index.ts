export { BuddyBlocks, DrmBuddyBlock } from './buddy-blocks.ts';
export {
  DRM_BUDDY_CONTIGUOUS_ALLOCATION,
  DRM_BUDDY_RANGE_ALLOCATION,
  DRM_BUDDY_TOPDOWN_ALLOCATION,
  DrmBuddy,
} from './buddy.ts';
export { type PagemapCounterName, pagemapCounters } from './counters.ts';
export {
  DrmPagemapDevmem,
  type DrmPagemapDevmemOps,
  type DrmPagemapDevmemOptions,
  drmPagemapDevmemRelease,
} from './devmem.ts';
export { drmPagemapEvictToRam } from './evict-to-ram.ts';
export { MapState } from './map-strategy/map-state.ts';
export { MAP_STRATEGIES, mapStrategy } from './map-strategy/registry.ts';
export type { MapStrategy, MapStrategyName } from './map-strategy/strategy.ts';
export { type DrmPagemapMigrateDetails, drmPagemapMigrateToDevmem } from './migrate-to-devmem.ts';
export { drmPagemapMigrateToRam } from './migrate-to-ram.ts';
export {
  drmPagemapAcquireOwner,
  DrmPagemapOwner,
  DrmPagemapOwnerList,
  DrmPagemapPeer,
  drmPagemapReleaseOwner,
} from './owner.ts';
export { DRM_INTERCONNECT_DRIVER, DRM_INTERCONNECT_SYSTEM, PagemapAddrs } from './pagemap-addr.ts';
export { drmPagemapPagemapOpsGet } from './pagemap-ops.ts';
export { DrmPagemap, type DrmPagemapOps, type DrmPagemapOptions, drmPagemapPopulateMm } from './pagemap.ts';
export { SystemPages } from './system-pages.ts';
export * from './tracepoints.ts';
export { drmPagemapPageToDpagemap, drmPagemapPageZdd, Zdd } from './zdd.ts';
