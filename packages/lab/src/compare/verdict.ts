import type { StrategyResult } from './result.ts';

/** A scheme is right when it leaves nothing behind, corrupts nothing and warns about nothing. */
export function isRight(result: StrategyResult): boolean {
  return result.left.length === 0 && result.data.mismatches === 0 && result.warnings === 0;
}

/** One plain sentence that answers: which mapping scheme should my driver use on this memory? */
export function answer(results: readonly StrategyResult[]): string {
  if (results.every((r) => r.exposedPages === null)) return untranslated(results);
  const right = results.filter((r) => isRight(r) && r.exposedPages === 0);
  const wrong = results.filter((r) => !isRight(r));
  const best = cheapest(right);
  if (best === undefined) return noneIsRight(results);
  const rest = right.filter((r) => r !== best);
  const equal = rest.filter((r) => r.time.dmaUs <= best.time.dmaUs * 1.01);
  const slower = rest.filter((r) => !equal.includes(r)).sort((a, b) => b.time.dmaUs - a.time.dmaUs)[0];
  const parts = [
    equal.length > 0 && equal.length === rest.length
      ? `On this memory ${join([best, ...equal].map((r) => r.strategy))} cost the same, ${us(best.time.dmaUs)} of mapping work per 2 MiB: take the simplest`
      : `Use ${join(
          [best, ...equal].map((r) => r.strategy),
          'or',
        )}: ${us(best.time.dmaUs)} of mapping work per 2 MiB`,
  ];
  if (slower !== undefined) parts.push(`${ratio(slower, best)} less than ${slower.strategy}`);
  if (wrong.length > 0) parts.push(`and do not use ${join(wrong.map(describeWrong))}`);
  const exposing = results.filter((r) => isRight(r) && (r.exposedPages ?? 0) > 0);
  const note = exposing.length > 0 ? `; ${join(exposing.map(describeExposing))}` : '';
  return `${parts.join(', ')}${note}.`;
}

/** Without translation there is no IOVA to reserve, and every scheme falls back to dma_map_page. */
function untranslated(results: readonly StrategyResult[]): string {
  const same = 'Nothing translates here, so every scheme is dma_map_page and the choice makes no difference';
  const wrong = results.find((r) => !isRight(r));
  if (wrong === undefined) return `${same}.`;
  const bounced = wrong.bouncedPages > 0 && wrong.data.mismatches > 0;
  const why = bounced
    ? `: each fails ${count(wrong.data.mismatches, 'content check')}, because what the GPU writes to memory that is mapped without migration stays in the bounce buffer until the mapping ends (drm_gpusvm refuses no such device)`
    : `: ${describeWrong(wrong)}`;
  return `${same}${why}.`;
}

function cheapest(results: readonly StrategyResult[]): StrategyResult | undefined {
  return results.reduce<StrategyResult | undefined>(
    (best, r) => (best === undefined || r.time.dmaUs < best.time.dmaUs ? r : best),
    undefined,
  );
}

function noneIsRight(results: readonly StrategyResult[]): string {
  return `None of ${join(results.map((r) => r.strategy))} is right on this memory: ${results.map(describeWrong).join('; ')}.`;
}

function describeWrong(result: StrategyResult): string {
  const reasons: string[] = [];
  if (result.leakedEntries > 0) {
    reasons.push(`leaves ${count(result.leakedEntries, 'page')} within the device's reach after the unmap`);
  } else if (result.left.length > 0) {
    reasons.push(`leaves ${result.left.map((item) => count(item.count, item.kind)).join(', ')} behind`);
  }
  if (result.data.mismatches > 0) reasons.push(`fails ${count(result.data.mismatches, 'content check')}`);
  if (reasons.length === 0 && result.warnings > 0)
    reasons.push(`raises ${count(result.warnings, 'kernel warning')}`);
  if (reasons.length === 0) return describeExposing(result);
  return `${result.strategy}, which ${join(reasons)}`;
}

function describeExposing(result: StrategyResult): string {
  return `${result.strategy} shows the device up to ${count(result.exposedPages ?? 0, 'page')} that nobody asked for`;
}

function ratio(slower: StrategyResult, best: StrategyResult): string {
  return `${(slower.time.dmaUs / best.time.dmaUs).toFixed(1)} times`;
}

function us(value: number): string {
  return `${value.toFixed(1)} us`;
}

function count(n: number, what: string): string {
  return `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`;
}

function join(words: readonly string[], last = 'and'): string {
  if (words.length <= 1) return words[0] ?? '';
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}
