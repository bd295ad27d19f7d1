import { expect, test } from 'vitest';
import { TablePool } from '../src/table-pool.ts';
import { block, forked, RW, World } from './support/world.ts';

test('tables are empty when taken, whoever used them before', () => {
  const pool = new TablePool();
  const seen = new Set<Uint8Array>();
  for (let i = 0; i < 200; i++) {
    const { pfn, bits } = pool.take();
    expect([pfn.length, bits.length, bits.some((b) => b !== 0)]).toEqual([512, 512, false]);
    expect(seen.has(bits)).toBe(false);
    seen.add(bits);
    bits.fill(7);
    if (i % 3 === 0) {
      pool.give(pfn, bits);
      seen.delete(bits);
    }
  }
});

test('a process that exits leaves its tables to the next, which sees nothing of it', () => {
  const w = new World();
  w.run(
    (function* () {
      yield* w.map(block(8), 8, RW, 5);
      for (let i = 0; i < 5; i++) {
        const child = yield* forked(w.mm);
        yield* child.mmap(block(12), 4, RW);
        expect(yield* child.cpuRead(block(12) + 1)).toBe(0);
        expect(yield* child.cpuWrite(block(12) + 2, 9)).toBe(0);
        yield* child.exit();
      }
      yield* w.mm.exit();
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
});
