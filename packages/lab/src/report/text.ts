import Table from 'cli-table3';
import { COSTS, type Provenance } from '../cost-model/constants.ts';
import type { Comparison, StrategyResult } from '../compare/result.ts';
import { describeMemory, number } from './memory.ts';

type Column = readonly [head: string, cell: (result: StrategyResult) => string];

const COLUMNS: readonly Column[] = [
  ['link\ncalls', (r) => number(r.linkCalls)],
  ['map_page\ncalls', (r) => number(r.mapPageCalls)],
  ['table\nwalks', (r) => number(r.walks)],
  ['PTE\nwrites', (r) => number(r.pteWrites)],
  ['tables\n+/-/pinned', (r) => `${r.tablesAllocated}/${r.tablesFreed}/${r.tablesPinned}`],
  ['IOTLB\ninval.', (r) => number(r.iotlbInvalidations)],
  ['IOVA\nops', (r) => number(r.iovaOperations)],
  ['DMA us\nper 2M', (r) => r.time.dmaUs.toFixed(1)],
  ['fault us\nper 2M', (r) => r.time.faultUs.toFixed(1)],
  ['leaked\nentries', (r) => number(r.leakedEntries)],
  ['pages\nexposed', (r) => (r.exposedPages === null ? 'all' : number(r.exposedPages))],
  [
    'data',
    (r) =>
      r.data.mismatches === 0 ? `${number(r.data.pagesChecked)} ok` : `${number(r.data.mismatches)} WRONG`,
  ],
];

/** The comparison for people: the memory, one table, what is left where something is, and the answer. */
export function comparisonText(comparison: Comparison): string {
  const { options, memory, results } = comparison;
  const table = new Table({
    head: ['scheme', ...COLUMNS.map(([head]) => head)],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', ...COLUMNS.map(() => 'right' as const)],
  });
  for (const result of results) table.push([result.strategy, ...COLUMNS.map(([, cell]) => cell(result))]);
  const lines = [
    `${memory.name}: ${describeMemory(memory)}`,
    `IOMMU ${options.iommu}, GPU faults of ${options.fault}, ${options.kernel}, seed ${options.seed}.`,
    table.toString(),
    provenance(),
    ...results.flatMap(details),
    comparison.answer,
    '',
  ];
  return lines.join('\n');
}

/** Where the times come from: how many of the constants are published, derived, assumed. */
function provenance(): string {
  const all = Object.values(COSTS);
  const of = (kind: Provenance): number => all.filter((cost) => cost.provenance === kind).length;
  return `Times are modelled: ${of('published')} constants published, ${of('derived')} derived, ${of('assumed')} assumed (--json lists them).`;
}

function details(result: StrategyResult): string[] {
  const lines = result.left.map(
    (item) => `${result.strategy} leaves ${number(item.count)} ${item.kind}: ${item.detail}`,
  );
  if (result.warnings > 0) lines.push(`${result.strategy} raises ${number(result.warnings)} kernel warnings`);
  if (result.data.firstMismatch !== null) lines.push(`${result.strategy}: ${result.data.firstMismatch}`);
  return lines;
}
