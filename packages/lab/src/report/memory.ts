import type { MemorySummary } from '../compare/result.ts';

/** One or two lines that describe a captured memory. */
export function describeMemory(memory: MemorySummary): string {
  const orders = memory.orders
    .map((pages, order) => ({ pages, order }))
    .filter(({ pages }) => pages > 0)
    .map(({ pages, order }) => `${percent(pages, memory.pages)} in folios of ${size(4096 * 2 ** order)}`);
  const physical =
    memory.physical === 'captured' ? '' : ' Page frames and folio orders are modelled: the kernel hid them.';
  const skipped = memory.skipped
    .map(({ reason, pages }) => ` ${number(pages)} pages left out: ${reason}.`)
    .join('');
  return (
    `${size(memory.pages * 4096)} in ${number(memory.pages)} pages, ${memory.vmas} mappings, ` +
    `${number(memory.runs)} contiguous runs, ${number(memory.holes)} holes; ${orders.join(', ')}.${physical}${skipped}`
  );
}

/** A count with separators. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

function percent(part: number, whole: number): string {
  const value = (100 * part) / whole;
  return value > 0 && value < 0.5 ? '<1 %' : `${value.toFixed(0)} %`;
}

/** A size in binary units. */
export function size(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
  ] as const) {
    if (bytes >= factor) return `${trim(bytes / factor)} ${unit}`;
  }
  return `${trim(bytes / 1024)} KiB`;
}

function trim(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}
