import { Machine } from '@gpusvm/kernel';
import { expect, it } from 'vitest';
import { ContractRandom } from '../../src/contract/contract.ts';
import { IO_PAGE_TABLES, type IoPageTableFormat, IotlbGather, PagingDomain } from '../../src/index.ts';
import { reachableTables } from '../../src/io-page-table/radix-visit.ts';

interface Side {
  readonly machine: Machine;
  readonly domain: PagingDomain;
  readonly gather: IotlbGather;
}

function side(format: IoPageTableFormat): Side {
  const machine = new Machine();
  return {
    machine,
    domain: new PagingDomain(machine, { name: 'streak', format }),
    gather: new IotlbGather(),
  };
}

/** One operation, mostly on single pages of three neighbouring tables; what it returned. */
function step(random: ContractRandom): (s: Side) => number {
  const page = 1024 + random.below(3) * 512 + random.below(6);
  const pages = random.below(8) === 0 ? 1 + random.below(1200) : 1;
  const kind = random.below(20);
  const pfn = 4096 + random.below(4096);
  return ({ domain, gather }) => {
    if (kind < 10) return domain.mapRange(page, pfn, pages, 3);
    if (kind < 18) {
      const unmapped = domain.unmapRange(page, pages, gather);
      domain.sync(gather);
      return unmapped;
    }
    const { clearedPages } = domain.unmapHoles(page, pages, gather);
    domain.sync(gather);
    return clearedPages;
  };
}

function leaves({ domain }: Side): number[][] {
  const out: number[][] = [];
  domain.forEachLeaf((page, pfn, pages) => out.push([page, pfn, pages]));
  return out;
}

it.each(Object.values(IO_PAGE_TABLES))(
  '$name: a streak of single pages ends and folds wherever it may, with the same result',
  (format) => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new ContractRandom(seed);
      const lazy = side(format);
      const eager = side(format);
      for (let i = 0; i < 300; i++) {
        const run = step(random);
        const got = run(lazy);
        // Reading settles the streak; the other side keeps it for as long as it lasts.
        eager.domain.table.endStreak();
        expect(got, `seed ${seed}, step ${i}`).toBe(run(eager));
      }
      expect(lazy.domain.mappedPages).toBe(eager.domain.mappedPages);
      expect(leaves(lazy)).toEqual(leaves(eager));
      expect([...lazy.machine.counters.snapshot()]).toEqual([...eager.machine.counters.snapshot()]);
      expect(reachableTables(lazy.domain.table)).toBe(lazy.domain.tables);
      lazy.domain.destroy();
      expect(lazy.domain.tables).toBe(0);
    }
  },
);
