import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { IO_PAGE_TABLES, type IoPageTableFormat, IotlbGather, PagingDomain } from '../../src/index.ts';
import { reachableTables } from '../../src/io-page-table/radix-visit.ts';
import { FlatPageTable } from '../support/flat-page-table.ts';
import { must, Random } from '../support/random.ts';

const SEEDS = 25;
const STEPS = 20_000;
/** Granules of the window, and its first granule: all usual leaf sizes can begin there. */
const WINDOW = 20_000;
const BASE = 2 ** 21;
const SLACK = 8192;
const RW = 3;

/** Everything that can be seen of both is the same, and tables in use are tables that can be reached. */
function compareAll(domain: PagingDomain, flat: FlatPageTable, g: number, what: () => string): void {
  let pages = 0;
  domain.forEachLeaf((page, pfn, n) => {
    const at = page / g - BASE;
    must(flat.leafStart[at]!, at, () => `${what()}: leaf start`);
    must(flat.leafLength[at]! * g, n, () => `${what()}: leaf length`);
    must(flat.translate(at) * g, pfn, () => `${what()}: leaf target`);
    pages += n;
  });
  must(pages, flat.mapped * g, () => `${what()}: pages of all leaves`);
  must(reachableTables(domain.table), domain.tables, () => `${what()}: tables in use`);
}

function run(format: IoPageTableFormat, seed: number): void {
  const random = new Random(seed);
  const machine = new Machine();
  const domain = new PagingDomain(machine, { name: 'dut', format });
  const flat = new FlatPageTable(format, WINDOW + SLACK);
  const gather = new IotlbGather();
  const g = 2 ** format.granuleOrder;
  const span = 2 ** format.bitsPerLevel;
  let step = 0;
  const what = (): string => `${format.name}, seed ${seed}, step ${step}`;
  for (; step < STEPS; step++) {
    const shape = random.below(20);
    let first = random.below(Math.max(2000, WINDOW - 2 * span));
    if (shape < 4) first -= first % 16;
    const big = shape === 19 && random.below(3) === 0;
    if (big && span <= 2048) first -= first % span;
    const count = big
      ? Math.min(random.pick([span, span - 1, span + 3]), 2500)
      : 1 + random.below(shape < 12 ? 3 : 40);
    const page = (BASE + first) * g;
    const kind = random.below(20);
    if (kind < 10) {
      const target = BASE + first + random.pick([0, 0, 1, 16, span, 7]);
      const err = domain.mapRange(page, target * g, count * g, RW);
      must(err, flat.map(first, target, count), () => `${what()}: errno of map(${first}, +${count})`);
    } else if (kind < 19) {
      gather.reset(false);
      const got = domain.unmapRange(page, count * g, gather);
      must(got, flat.unmap(first, count) * g, () => `${what()}: unmap(${first}, +${count})`);
      domain.sync(gather);
    } else {
      gather.reset(false);
      const got = domain.unmapHoles(page, count * g, gather).clearedPages;
      must(got, flat.unmapHoles(first, count) * g, () => `${what()}: unmapHoles(${first}, +${count})`);
      domain.sync(gather);
    }
    must(domain.mappedPages, flat.mapped * g, () => `${what()}: mapped pages`);
    for (let probe = 0; probe < 2; probe++) {
      const at = first + random.below(count + 4);
      const expected = flat.translate(at) < 0 ? -1 : flat.translate(at) * g;
      must(domain.translate((BASE + at) * g), expected, () => `${what()}: translation of ${at}`);
      // Invalidated at once, so the device sees the same; but the legacy drivers, which remove a leaf in whose middle
      // an unmap begins, invalidate from there on only.
      if (format.unmap.startInsideLeaf === 'remove') continue;
      must(domain.deviceTranslate((BASE + at) * g, 1), expected, () => `${what()}: device at ${at}`);
    }
    if (step % 4000 === 3999) compareAll(domain, flat, g, what);
  }
  domain.unmapHoles(0, domain.apertureLastPage + 1, gather);
  domain.sync(gather);
  must(domain.mappedPages + domain.tables, 0, () => `${what()}: what is left at the end`);
  must(machine.counters.snapshot().get('dma.tblPinned')!, 0, () => `${what()}: pinned tables at the end`);
}

describe('IO page tables against a flat array of granules', () => {
  for (const format of Object.values(IO_PAGE_TABLES)) {
    const operations = (SEEDS * STEPS).toLocaleString('en');
    it(`${format.name}: ${operations} maps, unmaps and tolerant unmaps over ${SEEDS} seeds agree`, () => {
      for (let seed = 0; seed < SEEDS; seed++) run(format, seed);
      expect(SEEDS * STEPS).toBeGreaterThan(0);
    });
  }
});
