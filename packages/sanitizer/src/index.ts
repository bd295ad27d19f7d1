export type { CallSite } from './call-site.ts';
export type { CallSiteOption } from './call-sites.ts';
export { type Report, type ReportedRange, SanitizerError, type SanitizerMode } from './report.ts';
export type { RuleId } from './rule-id.ts';
export { DMA_RULES } from './rules/dma/dma-rules.ts';
export type { DmaRule } from './rule.ts';
export { attachSanitizer, Sanitizer, type SanitizerOptions } from './sanitizer.ts';
export { explore, replayExploration } from './explore/explore.ts';
export type {
  Exploration,
  ExplorationBound,
  ExplorationFailure,
  ExplorationResult,
  Property,
} from './explore/exploration.ts';
export { MirrorDevice, type MirrorDeviceOptions } from './explore/mirror-device.ts';
export { evict, migrateToDevice, migrateToRam } from './explore/mirror-migrate.ts';
export { type MirrorOps, mirrorOps } from './explore/mirror-ops.ts';
export { mmDigest } from './explore/mm-digest.ts';
export { cycleText, type LockCycle, type LockEdge } from './mm/lock-graph.ts';
export { type MmReport, MmSanitizerError } from './mm/mm-report.ts';
export type { MmRule, MmRuleId } from './mm/mm-rule.ts';
export { attachMmSanitizer, MmSanitizer, type MmSanitizerOptions } from './mm/mm-sanitizer.ts';
export { MM_RULES } from './rules/mm/mm-rules.ts';
