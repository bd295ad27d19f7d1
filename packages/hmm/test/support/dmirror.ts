import { EBUSY, EFAULT, EINVAL, ENOENT, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import {
  DevPagemap,
  type FolioTable,
  HMM_PFN_ERROR,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  HmmPfns,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
  MigrateVma,
  type Mm,
  MmuIntervalNotifier,
  VM_FAULT_OOM,
  type VmFault,
  hmmPfnToMapOrder,
  hmmRangeFault,
  migrateDeviceFinalize,
  migrateDevicePages,
  migrateDevicePfns,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
  zoneDevicePageInit,
} from '../../src/index.ts';
import { withMmapRead } from './world.ts';

interface Mirror {
  readonly pfn: Pfn;
  readonly write: boolean;
}

/** Cooperative version of the kernel's test_hmm driver: a device that mirrors one process. */
export class Dmirror {
  readonly mm: Mm;
  readonly folios: FolioTable;
  readonly pagemap: DevPagemap;
  readonly vram: Float64Array;
  readonly mirror = new Map<number, Mirror>();
  readonly sub = new MmuIntervalNotifier();
  /** Pages copied and fault rounds of the last READ or WRITE. */
  cpages = 0;
  faults = 0;
  /** The next allocation fails (FLAGS, FAIL_ALLOC). */
  failAlloc = false;
  freed = 0;
  readonly #thp: boolean;
  #nextSmall = 512;
  #nextLarge: number;
  readonly #freeSmall: Pfn[] = [];
  readonly #freeLarge: Pfn[] = [];

  constructor(mm: Mm, pages = 4096) {
    this.mm = mm;
    this.folios = mm.folios;
    this.#thp = mm.machine.profile.hmm.deviceThp;
    this.vram = new Float64Array(pages);
    this.#nextLarge = pages / 2;
    this.pagemap = new DevPagemap(mm.folios, {
      type: 'private',
      owner: this,
      pages,
      ops: {
        migrateToRam: (vmf) => this.#migrateToRam(vmf),
        folioFree: (head) => this.#folioFree(head),
        folioSplit: (head, tail) => {
          if (tail !== null) this.folios.setZoneDeviceData(tail, this.folios.zoneDeviceData(head));
        },
      },
    });
  }

  *open(): Task<void> {
    const invalidate = this.#invalidate.bind(this);
    const err = yield* mmuIntervalNotifierInsert(this.sub, this.mm, 0, 2 ** 44, { invalidate });
    if (err !== 0) throw new Error(`insert gave ${err}`);
  }

  *close(): Task<void> {
    yield* this.release();
    yield* mmuIntervalNotifierRemove(this.sub);
  }

  // biome-ignore lint: nothing to wait for
  *#invalidate(
    sub: MmuIntervalNotifier,
    range: { event: string; owner: object | null; startPage: number; endPage: number },
    seq: number,
  ): Task<boolean> {
    if (range.event === 'MIGRATE' && range.owner === this) return true;
    mmuIntervalSetSeq(sub, seq);
    for (const page of this.mirror.keys()) {
      if (page >= range.startPage && page < range.endPage) this.mirror.delete(page);
    }
    return true;
  }

  /** Device loads: tags of the pages, or an errno. */
  *read(page: number, pages: number): Task<number[] | Errno> {
    return yield* this.#access(page, pages, null);
  }

  /** Device stores: page i gets `tag + i`. */
  *write(page: number, pages: number, tag: number): Task<Errno> {
    const result = yield* this.#access(page, pages, tag);
    return typeof result === 'number' ? result : 0;
  }

  *#access(page: number, pages: number, tag: number | null): Task<number[] | Errno> {
    const tags: number[] = [];
    this.cpages = 0;
    this.faults = 0;
    let i = 0;
    while (i < pages) {
      const entry = this.mirror.get(page + i);
      if (entry === undefined || (tag !== null && !entry.write)) {
        this.faults++;
        const err = yield* this.#fault(page + i, page + pages, tag !== null);
        if (err !== 0) return err;
        if (this.mirror.get(page + i) === undefined) continue;
        if (tag !== null && this.mirror.get(page + i)?.write !== true) return -EFAULT;
        continue;
      }
      if (tag === null) tags.push(this.#load(entry.pfn));
      else this.#store(entry.pfn, tag + i);
      this.cpages++;
      i++;
    }
    return tags;
  }

  #load(pfn: Pfn): number {
    return this.pagemap.contains(pfn)
      ? this.vram[pfn - this.pagemap.basePfn]!
      : this.folios.memory.readTag(pfn);
  }

  #store(pfn: Pfn, tag: number): void {
    if (this.pagemap.contains(pfn)) this.vram[pfn - this.pagemap.basePfn] = tag;
    else this.folios.memory.writeTag(pfn, tag);
  }

  *#fault(startPage: number, endPage: number, write: boolean): Task<Errno> {
    const chunk = this.#thp ? 32 : 64;
    for (let from = startPage; from < endPage; from += chunk) {
      const to = Math.min(from + chunk, endPage);
      const pfns = new HmmPfns(to - from);
      const err = yield* this.#hmmFault(from, to, pfns, HMM_PFN_VALID | (write ? HMM_PFN_WRITE : 0), () => {
        for (let i = 0; i < to - from; i++) {
          const flags = pfns.flags[i]!;
          this.mirror.set(from + i, { pfn: pfns.pfn[i]!, write: (flags & HMM_PFN_WRITE) !== 0 });
        }
      });
      if (err !== 0) return err;
    }
    return 0;
  }

  *#hmmFault(from: number, to: number, pfns: HmmPfns, defaultFlags: number, use: () => void): Task<Errno> {
    for (;;) {
      const range = {
        notifier: this.sub,
        notifierSeq: yield* mmuIntervalReadBegin(this.sub),
        startPage: from,
        endPage: to,
        pfns,
        defaultFlags,
        pfnFlagsMask: 0,
        devPrivateOwner: this,
      };
      const err = yield* withMmapRead(this.mm, () => hmmRangeFault(this.mm, range));
      if (err === -EBUSY) continue;
      if (err !== 0) return err;
      if (mmuIntervalReadRetry(this.sub, range.notifierSeq)) continue;
      use();
      return 0;
    }
  }

  /** SNAPSHOT as words: none, ERROR, ZERO|R, R, W, DEV:R, DEV:W, each with +PMD if so mapped. */
  *snapshot(page: number, pages: number): Task<string[]> {
    const pfns = new HmmPfns(pages);
    yield* this.#hmmFault(page, page + pages, pfns, 0, () => {});
    return Array.from({ length: pages }, (_, i) => this.#word(pfns.pfn[i]!, pfns.flags[i]!));
  }

  #word(pfn: Pfn, flags: number): string {
    if ((flags & HMM_PFN_ERROR) !== 0) return 'ERROR';
    if ((flags & HMM_PFN_VALID) === 0) return 'none';
    const access = (flags & HMM_PFN_WRITE) !== 0 ? 'W' : 'R';
    const pmd = hmmPfnToMapOrder(flags) === 9 ? '+PMD' : '';
    if (this.pagemap.contains(pfn)) return `DEV:${access}${pmd}`;
    if (this.folios.zeroPages.has(pfn)) return `ZERO|${access}${pmd}`;
    return `${access}${pmd}`;
  }

  *toDev(page: number, pages: number): Task<Errno> {
    const err = yield* this.#migrate(page, pages, (args) => this.#copyToDev(args));
    if (err !== 0) return err;
    for (let i = 0; i < pages; i++) {
      const entry = this.mirror.get(page + i);
      if (entry === undefined || !this.pagemap.contains(entry.pfn)) return -ENOENT;
    }
    this.cpages = pages;
    return 0;
  }

  *toSys(page: number, pages: number): Task<Errno> {
    let moved = 0;
    const err = yield* this.#migrate(page, pages, (args) => {
      this.#copyToRam(args.src, args.dst, args.npages);
      this.#forget(args.startPage, args.npages);
      return () => {
        for (let i = 0; i < args.npages; i++) {
          const both = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
          if ((args.src.flags[i]! & both) === both) moved++;
        }
      };
    });
    this.cpages = moved;
    return err;
  }

  /** Both directions: chunk by chunk through migrate_vma. */
  *#migrate(page: number, pages: number, copy: (args: MigrateVma) => () => void): Task<Errno> {
    const chunk = this.#thp ? 512 : 64;
    return yield* withMmapRead(this.mm, () => this.#migrateChunks(page, pages, chunk, copy));
  }

  *#migrateChunks(
    page: number,
    pages: number,
    chunk: number,
    copy: (args: MigrateVma) => () => void,
  ): Task<Errno> {
    for (let from = page; from < page + pages; ) {
      const vma = this.mm.vmaLookup(from);
      if (vma === null || !vma.read) return -EINVAL;
      const to = Math.min(from + chunk, page + pages, vma.endPage);
      const args = new MigrateVma({
        mm: this.mm,
        vma,
        startPage: from,
        endPage: to,
        src: new MigratePfns(to - from),
        dst: new MigratePfns(to - from),
        pgmapOwner: this,
        flags: this.#flagsOf(copy),
      });
      const err = yield* migrateVmaSetup(args);
      if (err !== 0) return err;
      const finish = copy(args);
      yield* migrateVmaPages(args);
      finish();
      yield* migrateVmaFinalize(args);
      from = to;
    }
    return 0;
  }

  #select = MIGRATE_VMA_SELECT_SYSTEM;

  #flagsOf(_copy: unknown): number {
    return this.#select | (this.#thp ? MIGRATE_VMA_SELECT_COMPOUND : 0);
  }

  /** Migrate to RAM with this device's pages selected, as TO_SYS does. */
  *migrateToSys(page: number, pages: number): Task<Errno> {
    this.#select = MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
    try {
      return yield* this.toSys(page, pages);
    } finally {
      this.#select = MIGRATE_VMA_SELECT_SYSTEM;
    }
  }

  /** Fill dst for a migration to the device; the result maps what was committed. */
  #copyToDev(args: MigrateVma): () => void {
    const { src, dst } = args;
    for (let i = 0; i < args.npages; i++) {
      const flags = src.flags[i]!;
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const writable = (flags & MIGRATE_PFN_WRITE) !== 0 || (src.pfn[i]! < 0 && args.vma!.write);
      const write = writable ? MIGRATE_PFN_WRITE : 0;
      const compound = (flags & MIGRATE_PFN_COMPOUND) !== 0;
      const large = compound ? this.#alloc(9) : -1;
      const count = compound ? 512 : 1;
      for (let k = 0; k < count; k++) {
        const pfn = large >= 0 ? large + k : this.#alloc(0);
        if (pfn < 0) continue;
        if (large < 0) dst.set(i + k, pfn, write);
        this.vram[pfn - this.pagemap.basePfn] =
          src.pfn[i]! < 0 ? 0 : this.folios.memory.readTag(src.pfn[i]! + k);
      }
      if (large >= 0) dst.set(i, large, write | MIGRATE_PFN_COMPOUND);
      i += count - 1;
    }
    return () => this.#mapCommitted(args);
  }

  #mapCommitted(args: MigrateVma): void {
    const { src, dst, startPage } = args;
    for (let i = 0; i < args.npages; i++) {
      if ((src.flags[i]! & MIGRATE_PFN_MIGRATE) === 0 || (dst.flags[i]! & MIGRATE_PFN_VALID) === 0) continue;
      const count = (dst.flags[i]! & MIGRATE_PFN_COMPOUND) !== 0 ? 512 : 1;
      const write = (dst.flags[i]! & MIGRATE_PFN_WRITE) !== 0;
      for (let k = 0; k < count; k++) this.mirror.set(startPage + i + k, { pfn: dst.pfn[i]! + k, write });
      i += count - 1;
    }
  }

  #copyToRam(src: MigratePfns, dst: MigratePfns, slots: number): void {
    const { folios } = this;
    const both = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
    for (let i = 0; i < slots; i++) {
      if ((src.flags[i]! & both) !== both || !this.pagemap.contains(src.pfn[i]!)) continue;
      const compound = (src.flags[i]! & MIGRATE_PFN_COMPOUND) !== 0;
      const large = compound && !this.#takeFailure() ? folios.allocFolio(9) : -1;
      const count = compound ? 512 : 1;
      for (let k = 0; k < count; k++) {
        const pfn = large >= 0 ? large + k : folios.allocFolio(0);
        if (pfn < 0) continue;
        if (large < 0) {
          folios.trylock(pfn);
          dst.set(i + k, pfn);
        }
        folios.memory.writeTag(pfn, this.vram[src.pfn[i]! + k - this.pagemap.basePfn]!);
      }
      if (large >= 0) {
        folios.trylock(large);
        dst.set(i, large, MIGRATE_PFN_COMPOUND);
      }
      i += count - 1;
    }
  }

  /** The own MIGRATE event was ignored, so the mirror has to be cleared by the migration itself. */
  #forget(startPage: number, pages: number): void {
    for (let i = 0; i < pages; i++) this.mirror.delete(startPage + i);
  }

  /** Mirror entries that the CPU page table does not back: stale device mappings. */
  stale(): string[] {
    const out: string[] = [];
    for (const [page, { pfn, write }] of this.mirror) {
      const backed = this.mm.pfnAt(page) === pfn && (!write || this.mm.isWritable(page));
      if (!backed) out.push(`page ${page} -> pfn ${pfn}, but the CPU has ${this.mm.entryKind(page)}`);
    }
    return out;
  }

  *#migrateToRam(vmf: VmFault): Task<number> {
    const pages = vmf.pmd ? 512 : 1;
    const startPage = vmf.pmd ? Math.floor(vmf.page / 512) * 512 : vmf.page;
    const args = new MigrateVma({
      mm: vmf.mm,
      vma: vmf.vma,
      startPage,
      endPage: startPage + pages,
      src: new MigratePfns(pages),
      dst: new MigratePfns(pages),
      pgmapOwner: this,
      flags: MIGRATE_VMA_SELECT_DEVICE_PRIVATE | (this.#thp ? MIGRATE_VMA_SELECT_COMPOUND : 0),
      faultFolio: vmf.folio,
    });
    const err = yield* migrateVmaSetup(args);
    if (err !== 0) throw new Error(`setup in migrate_to_ram gave ${err}`);
    this.#copyToRam(args.src, args.dst, args.npages);
    this.#forget(startPage, pages);
    const collected = args.cpages > 0;
    const got = args.dst.flags.some((f) => (f & MIGRATE_PFN_VALID) !== 0);
    yield* migrateVmaPages(args);
    yield* migrateVmaFinalize(args);
    return collected && !got ? VM_FAULT_OOM : 0;
  }

  /** RELEASE: evict every page of the device. */
  *release(): Task<void> {
    const { basePfn, pages } = this.pagemap;
    for (let round = 0; this.pagemap.liveReferences > 0; round++) {
      if (round === 8) throw new Error('device pages that do not leave');
      for (let from = 0; from < pages; from += 512) {
        const src = new MigratePfns(512);
        const dst = new MigratePfns(512);
        for (let i = 0; i < 512; i++) src.pfn[i] = basePfn + from + i;
        yield* migrateDevicePfns(this.folios, src, 512);
        this.#copyToRam(src, dst, 512);
        yield* migrateDevicePages(this.folios, src, dst, 512);
        yield* migrateDeviceFinalize(this.folios, src, dst, 512);
      }
    }
    for (const [page, entry] of this.mirror) if (this.pagemap.contains(entry.pfn)) this.mirror.delete(page);
  }

  #takeFailure(): boolean {
    const fail = this.failAlloc;
    this.failAlloc = false;
    return fail;
  }

  #alloc(order: 0 | 9): Pfn {
    if (this.#takeFailure()) return -1;
    const { basePfn, pages } = this.pagemap;
    let pfn = (order === 0 ? this.#freeSmall : this.#freeLarge).pop();
    if (pfn === undefined && order === 0) {
      if (this.#nextSmall === pages / 2) return -1;
      pfn = basePfn + this.#nextSmall++;
    } else if (pfn === undefined) {
      if (this.#nextLarge === pages) return -1;
      pfn = basePfn + this.#nextLarge;
      this.#nextLarge += 512;
    }
    zoneDevicePageInit(this.folios, pfn, this.pagemap, order, this);
    return pfn;
  }

  #folioFree(head: Pfn): void {
    this.freed++;
    (this.folios.order(head) === 9 ? this.#freeLarge : this.#freeSmall).push(head);
  }
}
