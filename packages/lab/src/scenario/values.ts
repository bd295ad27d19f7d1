import type { Result, ValueRun } from './ast.ts';

/** Words of a snapshot: size, access and kind of a page. */
const WORD = /^(?:none|ERROR|(?:R?DEV:|R?COH:|ZERO:)?[RW](?:\+PMD|\+PUD)?)$/;

/** Parse one element of a value list (`7`, `7*3`, `7..`, `DEV:W*512`); null if it is none. */
export function parseValueRun(token: string): ValueRun | null {
  const match = /^([^*]+?)(?:\*(\d+)|(\.\.))?$/.exec(token);
  if (match === null) return null;
  const text = match[1]!;
  const count = match[2] === undefined ? 1 : Number(match[2]);
  const up = match[3] !== undefined;
  if (count < 1) return null;
  if (/^\d+$/.test(text)) return { value: Number(text), count, up };
  return !up && WORD.test(text) ? { value: text, count, up } : null;
}

export function printValueRun(run: ValueRun): string {
  return `${run.value}${run.count > 1 ? `*${run.count}` : ''}${run.up ? '..' : ''}`;
}

/**
 * The values of `pages` pages. A list of one value without a count stands for every page; `n..` counts on to the end.
 *
 * @returns null when the list is not as long as the range.
 */
export function expandValues(runs: readonly ValueRun[], pages: number): (number | string)[] | null {
  const only = runs[0];
  if (runs.length === 1 && only !== undefined && only.count === 1 && !only.up) {
    return Array<number | string>(pages).fill(only.value);
  }
  const out: (number | string)[] = [];
  for (const run of runs) {
    const count = run.up ? pages - out.length : run.count;
    for (let i = 0; i < count; i++) out.push(run.up ? Number(run.value) + i : run.value);
  }
  return out.length === pages ? out : null;
}

/** The shortest list that stands for the values. */
export function compressValues(values: readonly (number | string)[]): ValueRun[] {
  const runs: ValueRun[] = [];
  for (let i = 0; i < values.length; ) {
    let same = 1;
    while (i + same < values.length && values[i + same] === values[i]) same++;
    let up = 1;
    while (i + up < values.length && values[i + up] === Number(values[i]) + up) up++;
    if (up === values.length - i && up > 2) {
      runs.push({ value: values[i]!, count: 1, up: true });
      return runs;
    }
    runs.push({ value: values[i]!, count: same, up: false });
    i += same;
  }
  return runs;
}

/** What a step yielded: 0 or a negative errno by name, and values page by page where it yields some. */
export interface Yield {
  readonly errno: string | null;
  readonly values: readonly (number | string)[] | null;
}

/** Whether what came out is one of the results that may come out. */
export function matches(results: readonly Result[], got: Yield): boolean {
  return results.some((result) => {
    if (result.kind === 'any') return true;
    if (result.kind === 'errno') return got.errno === result.name;
    if (got.errno !== null) return false;
    if (result.kind === 'ok' || got.values === null) return result.kind === 'ok';
    const wanted = expandValues(result.runs, got.values.length);
    return wanted !== null && wanted.every((value, i) => value === got.values![i]);
  });
}

/** What came out, in the language. */
export function printYield(got: Yield): string {
  if (got.errno !== null) return got.errno;
  return got.values === null ? 'ok' : compressValues(got.values).map(printValueRun).join(' ');
}
