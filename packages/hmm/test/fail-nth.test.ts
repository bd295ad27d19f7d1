import { ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, RW, THP, World } from './support/world.ts';

const P = block(8);
const WRITTEN = [0, 2, 5];

interface Outcome {
  readonly calls: number;
}

/** Runs the scenario with the k-th call of any fault site failing; 0 = none. */
function attempt(k: number, hugepage: boolean): Outcome {
  const w = new World({ pages: 8192 });
  const dev = new Dmirror(w.mm);
  const n = hugepage ? 512 : 6;
  const tags = new Map<number, number>();
  const scenario = function* (): Task<void> {
    yield* dev.open();
    w.machine.faultInjection.failAnyNth(k);
    const mapped: Errno = yield* w.mm.mmap(P, n, hugepage ? THP : RW);
    expect(mapped).toBe(0);
    for (const i of WRITTEN) {
      const err = yield* w.mm.cpuWrite(P + i, 100 + i);
      expect([0, -ENOMEM]).toContain(err);
      tags.set(P + i, err === 0 ? 100 + i : 0);
    }
    yield* dev.toDev(P, n);
    yield* w.mm.cpuRead(P + 1);
    yield* dev.migrateToSys(P + 2, 2);
    yield* dev.write(P + 5, 1, 105);
    yield* w.mm.madviseDontneed(P + 1, 1);
    yield* dev.toDev(P, n);
    yield* dev.release();
  };
  w.run(scenario());
  const calls = w.machine.faultInjection.sites().reduce((sum, s) => sum + s.calls, 0);
  w.machine.faultInjection.reset();
  expect(audit(w.folios)).toEqual([]);
  w.run(
    (function* () {
      for (const [page, tag] of tags) {
        if (page !== P + 5) expect(yield* w.mm.cpuRead(page)).toBe(tag);
      }
      yield* dev.close();
      yield* w.mm.exit();
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
  expect(dev.liveReferences).toBe(0);
  return { calls };
}

test('the k-th failure of any site leaves contents right and nothing behind, for every k, with single pages', () => {
  const { calls } = attempt(0, false);
  expect(calls).toBeGreaterThan(15);
  for (let k = 1; k <= calls; k++) attempt(k, false);
});

test('the same with a 2 MiB folio, for the first calls and a sample of the rest', () => {
  const { calls } = attempt(0, true);
  for (let k = 1; k <= calls; k += k < 16 ? 1 : 61) attempt(k, true);
});
