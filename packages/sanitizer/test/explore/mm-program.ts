import { TagMemory } from '@gpusvm/dma-iova';
import { FolioTable, Mm } from '@gpusvm/hmm';
import type { Machine, Task } from '@gpusvm/kernel';
import { evict, type Exploration, migrateToDevice, MirrorDevice, mmDigest } from '@gpusvm/sanitizer';

/** First page of the memory that the tasks fight over. */
export const FIRST = 1024;

/** What the tasks of a program share. */
export interface MmContext {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly dev: MirrorDevice;
  readonly pages: number;
}

/** Where the pages are when the tasks begin. */
export type Placement = 'none' | 'ram' | 'device';

type Operation = (c: MmContext) => Task<unknown>;

/** What a task can do; one line for each, so that the table grows with the model. */
export const OPERATIONS = {
  'gpu-read': (c) => c.dev.access(FIRST, null),
  'gpu-write': (c) => c.dev.access(FIRST, 7),
  'cpu-write': (c) => thread(c, c.mm.cpuWrite(FIRST, 5)),
  munmap: (c) => thread(c, c.mm.munmap(FIRST, 1)),
  mprotect: (c) => thread(c, c.mm.mprotect(FIRST, c.pages, { read: true, write: false })),
  migrate: (c) => migrateToDevice(c.dev, FIRST, FIRST + c.pages),
  evict: (c) => evict(c.dev),
  fork: (c) => fork(c),
  exit: (c) => c.mm.exit(),
} as const satisfies Record<string, Operation>;

/** A child is made, and exits. */
function* fork({ mm }: MmContext): Task<void> {
  if (!mm.mmgetNotZero()) return;
  const child = yield* mm.fork('child');
  if (typeof child !== 'number') yield* child.exit();
  mm.mmput();
}

/** A thread of the process uses its address space, if there still is one. */
function* thread({ mm }: MmContext, operation: Task<unknown>): Task<void> {
  if (!mm.mmgetNotZero()) return;
  yield* operation;
  mm.mmput();
}

export type OperationName = keyof typeof OPERATIONS;

/** Tasks that each do one operation, on `pages` pages that begin where `placed` says. */
export function mmProgram(
  names: readonly OperationName[],
  pages: number,
  placed: Placement,
  onMade: (c: MmContext) => void = () => {},
): Exploration<MmContext> {
  return {
    setup: (machine) => setup(machine, pages, placed, onMade),
    tasks: Object.fromEntries(names.map((name, i) => [`${name}#${i + 1}`, OPERATIONS[name]])),
    digest: ({ folios, dev }) => `${mmDigest(folios)}|${dev.digest()}`,
  };
}

function setup(
  machine: Machine,
  pages: number,
  placed: Placement,
  onMade: (c: MmContext) => void,
): MmContext {
  const folios = new FolioTable(machine, new TagMemory(machine, { pages: 64 }));
  const mm = new Mm(machine, folios, { name: 'p' });
  const dev = new MirrorDevice(mm, { name: 'gpu', pages: 4 });
  const context = { machine, folios, mm, dev, pages };
  onMade(context);
  machine.run(prepare(context, placed), 'setup');
  return context;
}

function* prepare({ mm, dev, pages }: MmContext, placed: Placement): Task<void> {
  yield* mm.mmap(FIRST, pages, { read: true, write: true });
  if (placed !== 'none') for (let i = 0; i < pages; i++) yield* mm.cpuWrite(FIRST + i, 1 + i);
  yield* dev.open(FIRST, pages);
  if (placed === 'device') yield* migrateToDevice(dev, FIRST, FIRST + pages);
}
