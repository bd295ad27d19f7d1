import { DmaDevice, TagMemory } from '@gpusvm/dma-iova';
import { FolioTable, Mm } from '@gpusvm/hmm';
import { UmemOdp } from '@gpusvm/hmm/umem-odp';
import type { Machine, Task } from '@gpusvm/kernel';
import {
  attachMmSanitizer,
  attachSanitizer,
  type Exploration,
  type ExplorationResult,
  explore,
  MirrorDevice,
  mmDigest,
  type MmSanitizer,
} from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmFinding, type MmWorld } from './mm-bug.ts';

const RAM_PAGES = 64;

/** One exploration of a bug's trigger. */
export interface MmReplay {
  readonly patched: boolean;
  readonly result: ExplorationResult;
  /** What was found; null when nothing was. */
  readonly found: string | null;
  /** Silent on correct code, or finding what it should. */
  readonly asExpected: boolean;
}

/** Explore a bug's trigger on correct or on patched code, every interleaving. */
export function replayMm(bug: MmBug, patched: boolean): MmReplay {
  const result = explore(exploration(bug, patched));
  const found = findingOf(result);
  const expected: MmFinding | null = patched ? bug.finds : null;
  const whole = patched || result.exhaustive;
  return { patched, result, found, asExpected: found === expected && whole };
}

/** Both explorations of a bug. */
export function replayMmBoth(bug: MmBug): MmReplay[] {
  return [replayMm(bug, false), replayMm(bug, true)];
}

/** The program that is explored; the same schedule replays the same run. */
export function exploration(bug: MmBug, patched: boolean): Exploration<MmWorld> {
  let sanitizer: MmSanitizer | null = null;
  return {
    machine: { profile: (patched ? bug.profile : bug.fixedIn) ?? 'linux-7.3' },
    setup(machine) {
      const world = makeWorld(bug, machine);
      sanitizer = attachMmSanitizer(machine, { folios: world.folios, mode: 'stop' });
      machine.run(prepare(bug, world), 'setup');
      if (patched) bug.patch(world);
      return world;
    },
    tasks: bug.tasks,
    digest: ({ folios, dev, odp, results }) =>
      `${mmDigest(folios)}|${dev.digest()}|${odp === null ? '' : odpDigest(odp)}|${[...results].join(' ')}`,
    search: 'states',
    bound: { steps: 2000 },
    invariants: { rules: () => (sanitizer!.check(), null) },
    atEnd: { rules: () => (sanitizer!.finish(), null), outcome: bug.outcome ?? (() => null) },
  };
}

function makeWorld(bug: MmBug, machine: Machine): MmWorld {
  const memory = new TagMemory(machine, { pages: bug.ramPages ?? RAM_PAGES });
  const folios = new FolioTable(machine, memory);
  const mm = new Mm(machine, folios, { name: 'process' });
  const dev = new MirrorDevice(mm, { name: 'device', pages: bug.devicePages ?? 4 });
  const world = { machine, folios, mm, dev, odp: null, rdma: null, results: new Map<string, number>() };
  if (bug.rdma === undefined) return world;
  const { virtual, peerSwitch, ...region } = bug.rdma;
  const client = { upstreamBridge: 'switch 0', hostBridgeAllowed: true };
  const rdma = virtual
    ? null
    : new DmaDevice(machine, memory, { name: 'rdma', iommu: 'strict', p2p: client });
  if (rdma !== null) attachSanitizer(machine, { mode: 'stop', devices: [rdma] });
  const provider = { name: 'peer', upstreamBridge: peerSwitch ?? '', busOffsetBytes: 0 };
  const peers = peerSwitch === undefined ? {} : { peerOf: () => ({ provider, client }) };
  const odp = new UmemOdp({ mm, dev: rdma, startPage: FIRST, pages: bug.pages ?? 1, ...region, ...peers });
  return { ...world, odp, rdma };
}

function* prepare(bug: MmBug, w: MmWorld): Task<void> {
  const pages = bug.pages ?? 1;
  const hugetlb = (bug.rdma?.pageShift ?? 12) > 12;
  yield* w.mm.mmap(FIRST, pages, { read: true, write: true, hugetlb, hugepage: bug.huge ?? false });
  for (let i = 0; i < (bug.written ?? pages); i++) yield* w.mm.cpuWrite(FIRST + i, 1 + i);
  yield* w.dev.open(FIRST, pages);
  if (bug.prepare !== undefined) yield* bug.prepare(w);
}

function odpDigest({ map, table }: UmemOdp): string {
  const { pfn, flags } = map.pfns;
  return `${pfn.join()} ${flags.join()} ${[...table].join(' ')}`;
}

/** The rule that a sanitizer named, else the kind of failure. */
function findingOf({ failure }: ExplorationResult): string | null {
  if (failure === null) return null;
  const rule = /^([IS]\d+|LOCK) [A-Z_0-9]+: /.exec(failure.message)?.[1];
  return rule ?? (failure.kind === 'end' ? failure.name : failure.kind);
}
