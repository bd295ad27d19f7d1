import type { Comparison } from '../compare/result.ts';
import { COSTS } from '../cost-model/constants.ts';

/** The comparison for machines, with the constants behind its times. Equal input gives equal bytes. */
export function comparisonJson(comparison: Comparison): string {
  return `${JSON.stringify({ version: 1, ...comparison, costs: Object.values(COSTS) }, null, 2)}\n`;
}
