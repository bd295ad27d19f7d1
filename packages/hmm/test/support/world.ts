import { TagMemory } from '@gpusvm/dma-iova';
import { done, type KernelProfileName, Machine, type MachineOptions, type Task } from '@gpusvm/kernel';
import {
  FolioTable,
  Mm,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
} from '../../src/index.ts';

/** First page of the 2 MiB block with this number; block 0 is never used. */
export const block = (n: number): number => n * 512;

export const RW = { read: true, write: true } as const;
export const RO = { read: true, write: false } as const;
export const NONE = { read: false, write: false } as const;
export const THP = { read: true, write: true, hugepage: true } as const;

/** A machine with memory, a folio table and one process. */
export class World {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly folios: FolioTable;
  readonly mm: Mm;

  constructor(options: MachineOptions & { pages?: number } = {}) {
    const { pages = 8192, ...rest } = options;
    this.machine = new Machine(rest);
    this.memory = new TagMemory(this.machine, { pages });
    this.folios = new FolioTable(this.machine, this.memory);
    this.mm = new Mm(this.machine, this.folios, { name: 'process' });
  }

  run<T>(task: Task<T>): T {
    return this.machine.run(task);
  }

  /** Run with the mmap lock held for reading. */
  locked<T>(body: () => Task<T>): Task<T> {
    return withMmapRead(this.mm, body);
  }

  /** Map and fill: page i of the range gets tag `tag + i`; tag 0 leaves the range untouched. */
  *map(startPage: number, pages: number, o: Parameters<Mm['mmap']>[2], tag = 0): Task<void> {
    const err = yield* this.mm.mmap(startPage, pages, o);
    if (err !== 0) throw new Error(`mmap gave ${err}`);
    if (tag > 0) for (let i = 0; i < pages; i++) yield* this.mm.cpuWrite(startPage + i, tag + i);
  }

  /** What the ledger still has, as `kind: count`. */
  live(): string[] {
    return this.machine.ledger.live().map((item) => `${item.kind}: ${item.count}`);
  }
}

/** Run a body with the mmap lock of a process held for reading. */
export function* withMmapRead<T>(mm: Mm, body: () => Task<T>): Task<T> {
  yield* mm.mmapLock.downRead();
  try {
    return yield* body();
  } finally {
    mm.mmapLock.upRead();
  }
}

/** Both profiles whose behaviour was measured. */
export const MEASURED: readonly KernelProfileName[] = ['linux-6.12', 'linux-7.3'];

/** An invalidation in a word: `UNMAP 512..1024`. */
export function eventName(e: { event: string; startPage: number; endPage: number }): string {
  return `${e.event} ${e.startPage}..${e.endPage}`;
}

/** A subscription to a whole address space that only remembers what it is told. */
export class Listener {
  readonly heard: string[] = [];
  readonly sub: MmuIntervalNotifier = new MmuIntervalNotifier();

  *open(mm: Mm): Task<void> {
    const err = yield* mmuIntervalNotifierInsert(this.sub, mm, 0, 2 ** 44, {
      invalidate: (sub, range, seq) => {
        mmuIntervalSetSeq(sub, seq);
        this.heard.push(eventName(range));
        return done(true);
      },
    });
    if (err !== 0) throw new Error(`insert gave ${err}`);
  }

  /** What was heard since the last call. */
  take(): string[] {
    return this.heard.splice(0);
  }

  *close(): Task<void> {
    yield* mmuIntervalNotifierRemove(this.sub);
  }
}

/** The child of a fork that must succeed. */
export function* forked(mm: Mm, name = 'child'): Task<Mm> {
  const child = yield* mm.fork(name);
  if (typeof child === 'number') throw new Error(`fork gave ${child}`);
  return child;
}

/** What the entries of a run of pages are: `present:w`, `swap`, `none`. */
export function entries(mm: Mm, from: number, pages: number): string[] {
  return Array.from(
    { length: pages },
    (_, i) => `${mm.entryKind(from + i)}${mm.isWritable(from + i) ? ':w' : ''}`,
  );
}

/** Exits every process that still lives. */
export function* exitAll(folios: FolioTable): Task<void> {
  for (const mm of folios.mms.all()) yield* mm.exit();
}
