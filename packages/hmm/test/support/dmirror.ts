import type { Errno, Task } from '@gpusvm/kernel';
import type { Mm } from '../../src/index.ts';
import {
  Dmirror as DmirrorFile,
  DmirrorDevice,
  type MirrorTable,
  snapshotWord,
} from '../../src/test-hmm/index.ts';

/** A device of the test module with one process that has it open, in the words of the tests. */
export class Dmirror {
  readonly device: DmirrorDevice;
  readonly file: DmirrorFile;

  constructor(mm: Mm, chunkPages = 2048, type: 'private' | 'coherent' = 'private') {
    this.device = new DmirrorDevice(mm.folios, { type, chunkPages });
    this.file = new DmirrorFile(this.device, mm);
  }

  get mirror(): MirrorTable {
    return this.file.table;
  }

  get liveReferences(): number {
    return this.device.liveReferences;
  }

  get cpages(): number {
    return this.file.counts.cpages;
  }

  get faults(): number {
    return this.file.counts.faults;
  }

  set failAlloc(on: boolean) {
    this.device.failAlloc = on;
  }

  *open(): Task<void> {
    const err = yield* this.file.open();
    if (err !== 0) throw new Error(`open gave ${err}`);
  }

  close(): Task<void> {
    return this.file.close();
  }

  read(page: number, pages: number): Task<number[] | Errno> {
    return this.file.read(page, pages);
  }

  /** Page i gets `tag + i`. */
  write(page: number, pages: number, tag: number): Task<Errno> {
    return this.file.write(
      page,
      Array.from({ length: pages }, (_, i) => tag + i),
    );
  }

  /** One word a page, see `snapshotWord`. */
  *snapshot(page: number, pages: number): Task<string[]> {
    const bytes = yield* this.file.snapshot(page, pages);
    if (typeof bytes === 'number') throw new Error(`snapshot gave ${bytes}`);
    return bytes.map(snapshotWord);
  }

  toDev(page: number, pages: number): Task<Errno> {
    return this.file.toDev(page, pages);
  }

  migrateToSys(page: number, pages: number): Task<Errno> {
    return this.file.toSys(page, pages);
  }

  *release(): Task<void> {
    yield* this.device.release();
  }

  stale(): string[] {
    return this.file.stale();
  }
}
