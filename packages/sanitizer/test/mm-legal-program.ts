import { DmaDevice, TagMemory } from '@gpusvm/dma-iova';
import {
  accessRemoteVm,
  clearRefs,
  FolioTable,
  khugepaged,
  makeDeviceExclusive,
  Mm,
  oomReap,
  pinUserPages,
  shrinkAnon,
  unpinUserPages,
} from '@gpusvm/hmm';
import { UmemOdp } from '@gpusvm/hmm/umem-odp';
import type { Machine, Task } from '@gpusvm/kernel';
import { evict, migrateToDevice, MirrorDevice } from '../src/index.ts';

/** First page, in the second block of 2 MiB. */
const FIRST = 512;
const PAGES = 8;

/** A process, two GPUs and an RDMA device that mirror it, and what the tasks drew. */
export interface MmWorld {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly gpus: readonly MirrorDevice[];
  readonly odp: UmemOdp;
  readonly rdma: DmaDevice;
}

/** Make the world; nobody mirrors yet. */
export function makeMmWorld(machine: Machine): MmWorld {
  const memory = new TagMemory(machine, { pages: 2048 });
  const folios = new FolioTable(machine, memory);
  folios.swap.on(64);
  const mm = new Mm(machine, folios, { name: 'p' });
  const gpus = [0, 1].map((i) => new MirrorDevice(mm, { name: `gpu${i}`, pages: PAGES + i }));
  const rdma = new DmaDevice(machine, memory, { name: 'rdma', iommu: 'strict' });
  // Before 6.16 there is no hmm_dma_map: then the RDMA device reaches memory by the CPU.
  const dev = machine.profile.dma.twoStepApi ? rdma : null;
  const odp = new UmemOdp({ mm, dev, startPage: FIRST, pages: PAGES, unmap: 'single-shot' });
  return { machine, folios, mm, gpus, odp, rdma };
}

/**
 * Populate, and let everybody subscribe: each GPU to a part, so that subscriptions overlap.
 *
 * @param hugepage - the pages are the first of a transparent huge page.
 */
export function* openMmWorld({ mm, gpus, odp }: MmWorld, hugepage: boolean): Task<void> {
  yield* mm.mmap(FIRST, hugepage ? 512 : PAGES, { read: true, write: true, hugepage });
  for (let i = 0; i < PAGES - 2; i++) yield* mm.cpuWrite(FIRST + i, 1 + i);
  yield* gpus[0]!.open(FIRST, PAGES);
  yield* gpus[1]!.open(FIRST + 2, PAGES - 2);
  yield* odp.open();
}

/** Everybody lets go, and the process ends if it has not. */
export function* closeMmWorld({ mm, gpus, odp }: MmWorld): Task<void> {
  for (const gpu of gpus) {
    yield* gpu.close();
    for (let tries = 0; tries < 20 && (yield* evict(gpu)) > 0; tries++) yield { kind: 'sleep', ns: 100 };
  }
  yield* odp.close();
  if (mm.users > 0) yield* mm.exit();
}

type Step = (w: MmWorld, page: number, n: number) => Task<unknown>;

/** What the threads of the process and the devices do; all of it legal at any time. */
const STEPS: readonly Step[] = [
  ({ gpus }, page) => gpus[0]!.access(page, null),
  ({ gpus }, page, n) => gpus[0]!.access(page, n),
  ({ gpus }, page, n) => gpus[1]!.access(Math.max(page, FIRST + 2), n % 2 === 0 ? null : n),
  ({ gpus }, page) => migrateToDevice(gpus[0]!, page, Math.min(page + 3, FIRST + PAGES)),
  ({ gpus }, page) => migrateToDevice(gpus[1]!, Math.max(page, FIRST + 2), FIRST + PAGES),
  ({ gpus }, _page, n) => evict(gpus[n % 2]!),
  ({ odp }, page, n) => odp.fault(page, Math.min(2, FIRST + PAGES - page), n % 2 === 0),
  ({ mm }, page, n) => mm.cpuWrite(page, n),
  ({ mm }, page) => mm.cpuRead(page),
  ({ mm }, page) => mm.madviseDontneed(page, 2),
  ({ mm }, page) => mm.madviseFree(page, 1),
  ({ mm }, page) => mm.madvisePageout(page, 2),
  ({ mm }, page, n) => mm.mprotect(page, 1, { read: true, write: n % 3 !== 0 }),
  ({ mm }, page, n) => mm.mlock(page, 1, n % 2 === 0),
  ({ folios }, _page, n) => shrinkAnon(folios, 1 + (n % 3)),
  ({ mm }) => clearRefs(mm),
  ({ mm }) => khugepaged(mm),
  ({ mm }) => mm.madviseCollapse(FIRST, 512),
  ({ mm }, page, n) => accessRemoteVm(mm, page, n % 2 === 0 ? null : n),
  pinned,
  exclusive,
  forked,
  remapped,
];

/** One thread's way: steps and places from a seed. The thread holds the address space. */
export function* mmThread(w: MmWorld, draw: (n: number) => number, steps: number): Task<void> {
  if (!w.mm.mmgetNotZero()) return;
  for (let i = 0; i < steps; i++) {
    const step = STEPS[draw(STEPS.length)]!;
    yield* step(w, FIRST + draw(PAGES), draw(1000));
    yield { kind: 'sleep', ns: draw(200) };
  }
  w.mm.mmput();
}

/** The process ends while its threads run, or the reaper of the OOM killer comes. */
export function* mmEnd({ mm }: MmWorld, draw: (n: number) => number): Task<void> {
  yield { kind: 'sleep', ns: draw(4000) };
  if (draw(2) === 0) yield* oomReap(mm);
  yield* mm.exit();
}

function* pinned({ mm, folios }: MmWorld, page: number, n: number): Task<void> {
  const pfns = new Float64Array(2);
  const taken = yield* pinUserPages(mm, page, pfns, { write: n % 2 === 0, longterm: n % 3 === 0 });
  yield { kind: 'sleep', ns: n };
  if (taken > 0) unpinUserPages(folios, pfns, taken);
}

function* exclusive({ mm, folios, gpus }: MmWorld, page: number): Task<void> {
  yield* mm.mmapLock.downRead();
  const pfn = yield* makeDeviceExclusive(mm, page, gpus[0]!);
  mm.mmapLock.upRead();
  if (pfn < 0) return;
  const head = folios.head(pfn);
  folios.unlock(head);
  folios.put(head);
}

function* forked({ mm }: MmWorld, page: number, n: number): Task<void> {
  const child = yield* mm.fork(`child ${n}`);
  if (typeof child === 'number') return;
  yield* child.cpuWrite(page, n);
  yield* child.exit();
}

/** The page moves away and is mapped afresh. */
function* remapped({ mm }: MmWorld, page: number, n: number): Task<void> {
  if (n % 2 === 0) yield* mm.mremap(page, 1, 1, { mayMove: true, newPage: 8192 + page });
  else yield* mm.munmap(page, 1);
  yield* mm.mmap(page, 1, { read: true, write: true });
}
