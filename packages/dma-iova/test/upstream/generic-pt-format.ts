import { ERANGE, Machine } from '@gpusvm/kernel';
import { expect } from 'vitest';
import { IO_PAGE_TABLES, type IoPageTableFormat, IotlbGather, PagingDomain } from '../../src/index.ts';
import { enclosingOrder } from '../../src/invalidation-order.ts';
import type { RadixTable } from '../../src/io-page-table/radix-table.ts';
import { Random } from '../support/random.ts';
import type { UpstreamRow } from './rows.ts';

const FORMATS = Object.values(IO_PAGE_TABLES);
const RW = 3;

function table(format: IoPageTableFormat): RadixTable {
  return new PagingDomain(new Machine(), { name: 'dut', format, levels: format.levels.max }).table;
}

/** Biggest leaf by definition, in plain arithmetic. */
function bestOrder(format: IoPageTableFormat, page: number, pfn: number, pages: number): number {
  let best = 0;
  for (const order of format.leafOrders) {
    const size = 2 ** order;
    if (size <= pages && page % size === 0 && pfn % size === 0) best = order;
  }
  return best;
}

/** A number of up to 44 bits with a random tail of zeros or ones. */
function ragged(random: Random): number {
  const bits = 1 + random.below(44);
  const tail = random.below(bits + 1);
  const value = Math.floor((random.below(2 ** 22) * 2 ** 22 + random.below(2 ** 22)) % 2 ** bits);
  const low = value % 2 ** tail;
  return random.below(2) === 0 ? value - low : value - low + (2 ** tail - 1);
}

function domain(format: IoPageTableFormat): PagingDomain {
  return new PagingDomain(new Machine(), { name: 'dut', format });
}

export const genericPtFormatRows: readonly UpstreamRow[] = [
  {
    suite: 'generic_pt format',
    name: 'bit operations',
    title: 'agree with arithmetic over the whole range of 52 bits',
    run: () => {
      const random = new Random(1);
      for (let i = 0; i < 50_000; i++) {
        const a = ragged(random);
        const b = ragged(random);
        let order = 0;
        while (Math.floor(a / 2 ** order) !== Math.floor(b / 2 ** order)) order++;
        if (enclosingOrder(a, b) !== order) throw new Error(`enclosing order of ${a} and ${b}: not ${order}`);
      }
      expect([
        enclosingOrder(0, 2 ** 52 - 1),
        enclosingOrder(7, 7),
        enclosingOrder(2 ** 40, 2 ** 40),
      ]).toEqual([52, 0, 0]);
    },
  },
  {
    suite: 'generic_pt format',
    name: 'best_pgsize',
    title: 'agrees with brute force for ragged addresses and lengths, in every format',
    run: () => {
      for (const format of FORMATS) {
        const pt = table(format);
        const random = new Random(2);
        const g = 2 ** format.granuleOrder;
        for (let i = 0; i < 20_000; i++) {
          const page = ragged(random) * g;
          const pfn = random.below(3) === 0 ? page : ragged(random) * g;
          const pages = (1 + ragged(random)) * g;
          const expected = Math.max(format.granuleOrder, bestOrder(format, page, pfn, pages));
          const top = format.leafOrders.filter((o) => o < pt.shifts[pt.maxLevels - 1]! + format.bitsPerLevel);
          const limited = Math.min(expected, top.at(-1)!);
          const got = pt.leafOrder.best(page, pfn, pages);
          if (got !== limited)
            throw new Error(`${format.name}: leaf for ${page}, ${pfn}, +${pages}: ${got}, ${limited}`);
        }
      }
      expect(FORMATS.length).toBe(7);
    },
  },
  {
    suite: 'generic_pt format',
    name: 'table_ptr',
    title: 'a table item leads to the table that was installed, a second map uses the same one',
    run: () => {
      for (const format of FORMATS) {
        const d = domain(format);
        const g = 2 ** format.granuleOrder;
        d.mapRange(g, 8 * g, g, RW);
        const [tables, leaf] = [d.tables, d.table.leafTable(g)];
        d.mapRange(2 * g, 12 * g, g, RW);
        expect([d.tables, d.table.leafTable(2 * g), leaf > 1]).toEqual([tables, leaf, true]);
      }
    },
  },
  {
    suite: 'generic_pt format',
    name: 'max_va',
    title: 'the last page of the aperture can be mapped, the one after it is -ERANGE',
    run: () => {
      for (const format of FORMATS) {
        for (let levels = format.levels.min; levels <= format.levels.max; levels++) {
          const d = new PagingDomain(new Machine(), { name: 'dut', format, levels });
          const g = 2 ** format.granuleOrder;
          const last = d.apertureLastPage + 1 - g;
          expect([d.mapRange(last, g, g, RW), d.translate(last + g - 1)]).toEqual([0, 2 * g - 1]);
          expect([d.mapRange(last + g, g, g, RW), d.translate(last + g)]).toEqual([-ERANGE, -1]);
          expect(d.mapRange(last, 4 * g, 2 * g, RW)).toBe(-ERANGE);
        }
      }
    },
  },
  {
    suite: 'generic_pt format',
    name: 'table_radix',
    title: 'the levels decode the address without a gap or an overlap',
    run: () => {
      for (const format of FORMATS) {
        const pt = table(format);
        const random = new Random(5);
        for (let i = 0; i < 5000; i++) {
          const page = Math.min(pt.maxPages - 1, ragged(random));
          let sum = page % pt.spans[0]!;
          for (let level = 0; level < pt.maxLevels; level++) sum += pt.index(page, level) * pt.spans[level]!;
          if (sum !== page) throw new Error(`${format.name}: page ${page} decodes to ${sum}`);
        }
        expect(pt.spans.slice(1).map((span, l) => span / pt.spans[l]!)).toEqual(
          Array.from({ length: 4 }, () => pt.entries),
        );
      }
    },
  },
  {
    suite: 'generic_pt format',
    name: 'entry_possible_sizes',
    title: 'the smallest size can always be a leaf, and none spans a whole table',
    run: () => {
      for (const format of FORMATS) {
        expect(format.leafOrders[0]).toBe(format.granuleOrder);
        expect([...format.leafOrders].sort((a, b) => a - b)).toEqual(format.leafOrders);
        for (const order of format.leafOrders) {
          const level = Math.floor((order - format.granuleOrder) / format.bitsPerLevel);
          const run = order - format.granuleOrder - level * format.bitsPerLevel;
          expect(run).toBeLessThan(format.bitsPerLevel);
          expect(level).toBeLessThan(format.levels.max);
        }
      }
    },
  },
  {
    suite: 'generic_pt format',
    name: 'entry_oa',
    title: 'every size at boundary addresses: each entry of the leaf translates, neighbours do not',
    run: () => {
      for (const format of FORMATS) {
        for (const order of format.leafOrders) {
          const size = 2 ** order;
          const d = domain(format);
          if (2 * size > d.apertureLastPage) continue;
          const highest = 2 ** (format.outputBits - 12) - size;
          for (const pfn of [0, size, 2 ** 32 - size, 2 ** 32, highest].filter(
            (p) => p >= 0 && p % size === 0,
          )) {
            expect(d.mapRange(size, pfn, size, RW)).toBe(0);
            const probes = [0, 1, size >= 512 ? 511 : 0, Math.floor(size / 2), size - 1].filter(
              (at) => at < size,
            );
            for (const at of probes) expect(d.translate(size + at)).toBe(pfn + at);
            expect([d.translate(size - 1), d.translate(2 * size)]).toEqual([-1, -1]);
            d.unmapHoles(size, size, new IotlbGather());
          }
        }
      }
    },
  },
  {
    suite: 'generic_pt format',
    name: 'attr_from_entry',
    title: 'read and write rights of a leaf of any size are those of its map',
    run: () => {
      for (const format of FORMATS) {
        for (const order of format.leafOrders.filter((o) => o <= 20)) {
          for (const rights of [1, 2, 3]) {
            const d = domain(format);
            const size = 2 ** order;
            d.mapRange(size, size * 2, size, rights | 16);
            const got = [1, 2].filter((access) => d.deviceTranslate(size * 2 - 1, access) >= 0);
            expect(got.reduce((sum, access) => sum | access, 0)).toBe(rights);
            expect(d.table.permission(size)).toBe(rights);
          }
        }
      }
    },
  },
];
