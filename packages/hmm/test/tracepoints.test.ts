import { expect, test } from 'vitest';
import { Dmirror } from './support/dmirror.ts';
import { block, exitAll, forked, RW, World } from './support/world.ts';

const P = block(8);
const OURS = ['mm_fork', 'mm_mremap', 'mm_swap', 'device_exclusive', 'mm_collapse', 'page_pin'];

test('every change of the process side is told on the bus, and nothing is when nobody listens', () => {
  const w = new World();
  w.folios.swap.on(16);
  const dev = new Dmirror(w.mm);
  const seen: unknown[] = [];
  const stop = w.machine.trace.onAll(({ name, event }) => {
    if (OURS.includes(name)) seen.push([name, event]);
  });
  w.run(
    (function* () {
      yield* dev.open();
      yield* w.map(P, 512, RW, 1);
      const pfn = w.mm.pfnAt(P);
      yield* w.mm.madvisePageout(P, 1);
      yield* w.mm.cpuRead(P);
      yield* dev.file.exclusive(P + 1, 1);
      yield* w.mm.cpuRead(P + 1);
      w.folios.pin(w.mm.pfnAt(P + 2));
      w.folios.unpin(w.mm.pfnAt(P + 2));
      yield* w.mm.madviseCollapse(P, 512);
      yield* w.mm.mremap(P, 512, 512, { newPage: block(20) });
      const child = yield* forked(w.mm);
      expect(pfn).toBeGreaterThan(0);
      stop();
      yield* w.mm.mremap(block(20), 512, 512, { newPage: P });
      yield* child.exit();
      yield* dev.close();
      yield* exitAll(w.folios);
    })(),
  );
  expect(seen).toEqual([
    ['mm_swap', expect.objectContaining({ direction: 'out', pages: 1, slot: 0 })],
    ['mm_swap', expect.objectContaining({ direction: 'in', pages: 1, slot: 0 })],
    ['device_exclusive', expect.objectContaining({ page: P + 1, on: true })],
    ['device_exclusive', expect.objectContaining({ page: P + 1, on: false })],
    ['page_pin', expect.objectContaining({ pins: 1 })],
    ['page_pin', expect.objectContaining({ pins: 0 })],
    ['mm_collapse', { mm: 'process', startPage: P, result: 'succeed' }],
    ['mm_mremap', { mm: 'process', oldPage: P, newPage: block(20), pages: 512 }],
    ['mm_fork', { parent: 'process', child: 'child', err: 0 }],
  ]);
});
