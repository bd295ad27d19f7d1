import { ENOMEM, type KernelProfileName, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { accessRemoteVm, pinUserPages, unpinUserPages } from '../src/index.ts';
import { audit } from './support/audit.ts';
import { Dmirror } from './support/dmirror.ts';
import { block, MEASURED, RW, THP, World } from './support/world.ts';

const P = block(8);
const T = block(10);

/** Runs the scenario with the k-th call of any fault site failing, 0 = none; returns how many calls there were. */
function attempt(profile: KernelProfileName, k: number): number {
  const w = new World({ pages: 8192, profile });
  w.folios.swap.on(2048);
  const dev = new Dmirror(w.mm);
  const { faultInjection } = w.machine;
  const ok = (err: number): void => expect(err).toBeGreaterThan(-100);
  const scenario = function* (): Task<void> {
    yield* dev.open();
    yield* w.map(P, 512, RW);
    for (let i = 0; i < 512; i += 8) yield* w.mm.cpuWrite(P + i, 100 + i);
    yield* w.map(T, 512, THP, 1000);
    faultInjection.failAnyNth(k);
    ok(yield* w.mm.madvisePageout(P, 32));
    ok(yield* dev.toDev(P + 64, 64));
    const child = yield* w.mm.fork('child');
    if (typeof child === 'number') expect(child).toBe(-ENOMEM);
    else yield* child.cpuWrite(P + 8, 1);
    ok(yield* w.mm.madviseCollapse(P, 512));
    ok(yield* dev.file.exclusive(T + 3, 2));
    ok(yield* w.mm.madviseFree(T, 7));
    ok(yield* w.mm.mremap(T, 512, 512, { newPage: block(20) + 128 }));
    const pfns = new Float64Array(4);
    const taken = yield* pinUserPages(w.mm, P, pfns, { write: true, longterm: true });
    if (taken > 0) unpinUserPages(w.folios, pfns, taken);
    ok(yield* accessRemoteVm(w.mm, P + 72));
    ok(yield* dev.write(P + 16, 1, 77));
    if (typeof child !== 'number') yield* child.exit();
  };
  w.run(scenario());
  const calls = faultInjection.sites().reduce((sum, site) => sum + site.calls, 0);
  faultInjection.reset();
  expect(audit(w.folios), `call ${k}`).toEqual([]);
  w.run(
    (function* () {
      for (let i = 0; i < 512; i += 8) {
        const tag = yield* w.mm.cpuRead(P + i);
        if (i !== 16) expect(tag, `call ${k}, page ${i}`).toBe(100 + i);
      }
      for (let i = 0; i < 512; i += 5) {
        expect(yield* w.mm.cpuRead(block(20) + 128 + i), `call ${k}, THP page ${i}`).toBe(1000 + i);
      }
      yield* dev.close();
      yield* w.mm.exit();
    })(),
  );
  expect(w.machine.ledger.live(), `call ${k}`).toEqual([]);
  expect(dev.liveReferences).toBe(0);
  return calls;
}

test.each(MEASURED)(
  'on %s the k-th failure of the process side leaves contents right and nothing behind',
  (profile) => {
    const calls = attempt(profile, 0);
    expect(calls).toBeGreaterThan(100);
    for (let k = 1; k <= calls; k += k < 60 ? 1 : 23) attempt(profile, k);
  },
);
