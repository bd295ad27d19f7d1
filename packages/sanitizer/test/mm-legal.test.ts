import {
  DEVICE_EXCLUSIVE,
  DEVICE_MAP_TRACE,
  DMA_PFN_TRACE,
  FOLIO_SPLIT,
  MIGRATE_SLOTS_TRACE,
  MIGRATE_TO_RAM_TRACE,
  MM_FORK,
  MM_MREMAP,
  MM_SWAP,
  NOTIFIER_CALLBACK_TRACE,
  PAGE_PIN,
} from '@gpusvm/hmm';
import { Machine, random } from '@gpusvm/kernel';
import { expect, it } from 'vitest';
import { attachMmSanitizer, attachSanitizer } from '../src/index.ts';
import { closeMmWorld, makeMmWorld, mmEnd, mmThread, openMmWorld } from './mm-legal-program.ts';

/** Programs in all. */
const PROGRAMS = 3000;

/** What the sanitizers say of one program; counts what happened in it. */
function reportsOf(seed: number, happened: Map<string, number>): string[] {
  const profile = (['linux-7.3', 'linux-7.3', 'next', 'linux-6.12'] as const)[seed % 4]!;
  const machine = new Machine({ seed, profile, strategy: random() });
  const count = (what: string) => (): void => void happened.set(what, (happened.get(what) ?? 0) + 1);
  machine.trace.on(NOTIFIER_CALLBACK_TRACE, ({ result, range }) => {
    if (!result) count('refused')();
    count(range.event)();
  });
  machine.trace.on(MIGRATE_SLOTS_TRACE, ({ phase }) => count(`migrate ${phase}`)());
  machine.trace.on(MIGRATE_TO_RAM_TRACE, count('to ram'));
  machine.trace.on(DEVICE_MAP_TRACE, count('device map'));
  machine.trace.on(DMA_PFN_TRACE, ({ phase }) => count(`dma ${phase}`)());
  machine.trace.on(DEVICE_EXCLUSIVE, count('exclusive'));
  machine.trace.on(FOLIO_SPLIT, count('split'));
  machine.trace.on(MM_FORK, count('fork'));
  machine.trace.on(MM_MREMAP, count('mremap'));
  machine.trace.on(MM_SWAP, ({ direction }) => count(`swap ${direction}`)());
  machine.trace.on(PAGE_PIN, count('pin'));
  const world = makeMmWorld(machine);
  const { folios, rdma } = world;
  const mm = attachMmSanitizer(machine, { folios, mode: 'report' });
  const dma = attachSanitizer(machine, { mode: 'report', devices: [rdma] });
  machine.run(openMmWorld(world, seed % 5 === 0), 'set-up');
  const { choice } = new Machine({ seed: seed + 1_000_000 });
  const draw = (n: number): number => choice.choose(n);
  if (seed % 7 === 0) machine.faultInjection.chooseTrylocks(20);
  if (seed % 11 === 0) machine.faultInjection.chooseFailures(4);
  for (let i = 0; i < 3; i++) machine.spawn(mmThread(world, draw, 12), `thread ${i}`);
  if (seed % 3 === 0) machine.spawn(mmEnd(world, draw), 'end');
  machine.drain();
  machine.faultInjection.reset();
  mm.check();
  machine.run(closeMmWorld(world), 'close');
  machine.drain();
  mm.finish();
  dma.releaseDevice(rdma);
  dma.finish();
  return [...mm.reports, ...dma.reports].map(({ message }) => message);
}

const HAPPENS =
  'refused, MIGRATE, UNMAP, CLEAR, PROTECTION_VMA, PROTECTION_PAGE, SOFT_DIRTY, EXCLUSIVE, RELEASE, ' +
  'migrate setup, migrate committed, migrate finalized, to ram, device map, dma map, dma unmap, exclusive, split, ' +
  'fork, mremap, swap out, swap in, pin';

it(`${PROGRAMS} random programs of a process, two GPUs and an RDMA device are silent`, {
  timeout: 600_000,
}, () => {
  const happened = new Map<string, number>();
  for (let seed = 1; seed <= PROGRAMS; seed++) expect([seed, ...reportsOf(seed, happened)]).toEqual([seed]);
  const rare = HAPPENS.split(', ').filter((what) => (happened.get(what) ?? 0) < PROGRAMS / 100);
  expect(rare).toEqual([]);
});
