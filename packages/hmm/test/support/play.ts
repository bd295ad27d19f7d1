import type { KernelProfileName, Task } from '@gpusvm/kernel';
import { expect } from 'vitest';
import { audit } from './audit.ts';
import { Dmirror } from './dmirror.ts';
import { exitAll, World } from './world.ts';

/** What happens in a world with an open device. */
export type Play = (w: World, dev: Dmirror) => Task<void>;

/** Let a body act on a world with an open device; afterwards the books must balance and nothing may be left. */
export function play(profile: KernelProfileName, body: Play, swapPages = 0): void {
  const w = new World({ profile });
  if (swapPages > 0) w.folios.swap.on(swapPages);
  const dev = new Dmirror(w.mm);
  w.run(
    (function* () {
      yield* dev.open();
      yield* body(w, dev);
      expect(audit(w.folios)).toEqual([]);
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(w.machine.ledger.live()).toEqual([]);
  expect(dev.liveReferences).toBe(0);
}
