export type { CallSite } from './call-site.ts';
export type { CallSiteOption } from './call-sites.ts';
export { type Report, type ReportedRange, SanitizerError, type SanitizerMode } from './report.ts';
export type { RuleId } from './rule-id.ts';
export { DMA_RULES } from './rules/dma/dma-rules.ts';
export type { DmaRule } from './rule.ts';
export { attachSanitizer, Sanitizer, type SanitizerOptions } from './sanitizer.ts';
