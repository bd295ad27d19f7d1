import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NaivePageTable, same } from '../../src/contract/index.ts';
import { reachableTables } from '../../src/io-page-table/radix-visit.ts';
import { IO_PAGE_TABLES, type IoPageTableFormat, IotlbGather, PagingDomain } from '../../src/index.ts';

const SPAN = 1536;
const RW = 3;

class Real {
  readonly machine = new Machine();
  readonly domain: PagingDomain;
  readonly gather = new IotlbGather();

  constructor(format: IoPageTableFormat) {
    this.domain = new PagingDomain(this.machine, { name: 'model', format });
  }
}

class Map_ implements fc.Command<NaivePageTable, Real> {
  readonly page: number;
  readonly pages: number;
  readonly shift: number;

  constructor(page: number, pages: number, shift: number) {
    this.page = page;
    this.pages = pages;
    this.shift = shift;
  }

  check(): boolean {
    return true;
  }

  run(model: NaivePageTable, real: Real): void {
    const pfn = 2 ** 20 + this.page + this.shift;
    same(
      real.domain.mapRange(this.page, pfn, this.pages, RW),
      model.map(this.page, pfn, this.pages),
      'errno',
    );
    agree(model, real);
  }

  toString(): string {
    return `map(${this.page}, +${this.pages}, shift ${this.shift})`;
  }
}

class Unmap implements fc.Command<NaivePageTable, Real> {
  readonly page: number;
  readonly pages: number;
  readonly holes: boolean;

  constructor(page: number, pages: number, holes: boolean) {
    this.page = page;
    this.pages = pages;
    this.holes = holes;
  }

  check(): boolean {
    return true;
  }

  run(model: NaivePageTable, real: Real): void {
    const { domain, gather } = real;
    if (this.holes) {
      const { clearedPages, holes, firstHolePage } = domain.unmapHoles(this.page, this.pages, gather);
      same([clearedPages, holes, firstHolePage], model.unmapHoles(this.page, this.pages), 'report');
    } else {
      same(domain.unmapRange(this.page, this.pages, gather), model.unmap(this.page, this.pages), 'unmapped');
    }
    domain.sync(gather);
    agree(model, real);
  }

  toString(): string {
    return `unmap${this.holes ? 'Holes' : ''}(${this.page}, +${this.pages})`;
  }
}

/** Everything that can be seen agrees, and the tables in use are those that can be reached. */
function agree(model: NaivePageTable, { domain, machine }: Real): void {
  same(domain.mappedPages, model.mappedPages, 'mapped pages');
  same(reachableTables(domain.table), domain.tables, 'tables in use');
  let pages = 0;
  domain.forEachLeaf((page, pfn, n) => {
    pages += n;
    for (const at of [0, n - 1])
      same(pfn + at, model.translate(page + at), `translation of page ${page + at}`);
  });
  same(pages, model.mappedPages, 'pages of all leaves');
  const counters = machine.counters.snapshot();
  same(
    counters.get('dma.tblAlloc')! - counters.get('dma.tblFree')!,
    domain.tables,
    'tables allocated and not freed',
  );
  same(counters.get('dma.tblPinned')! <= domain.tables, true, 'pinned tables are tables');
}

const page = fc.oneof(
  fc.nat(SPAN),
  fc.nat(SPAN / 16).map((n) => n * 16),
  fc.nat(3).map((n) => n * 512),
);
const pages = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(64, 512, 600, 1024));
/** Positions and lengths in granules; now and then not a multiple of one. */
function commandsOf(format: IoPageTableFormat) {
  const g = 2 ** format.granuleOrder;
  const off = fc.constantFrom(0, 0, 0, 0, 0, 0, 0, Math.floor(g / 2));
  return [
    fc
      .tuple(page, pages, fc.constantFrom(0, 0, 1, 16), off)
      .map(([p, n, shift, o]) => new Map_(p * g + o, n * g, shift * g)),
    fc.tuple(page, pages, fc.boolean()).map(([p, n, holes]) => new Unmap(p * g, n * g, holes)),
  ];
}

describe('IO page tables against a Map of pages', () => {
  for (const format of Object.values(IO_PAGE_TABLES)) {
    it(`${format.name}: any sequence of maps and unmaps agrees`, () => {
      fc.assert(
        fc.property(fc.commands(commandsOf(format), { maxCommands: 60 }), (cmds) => {
          fc.modelRun(() => ({ model: new NaivePageTable(format), real: new Real(format) }), cmds);
        }),
        { numRuns: 120, seed: 73 },
      );
      expect(format.leafOrders.length).toBeGreaterThan(0);
    });
  }
});
