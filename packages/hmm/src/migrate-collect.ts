import { type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { FOLIO_LOCKED } from './folio-flags.ts';
import { splitFolio } from './folio-split.ts';
import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
} from './migrate-pfns.ts';
import type { MigrateVma } from './migrate-vma.ts';
import { makeMigrationPmd, mayShare } from './migration-entry.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_DEVICE, PTE_KIND, PTE_MIGRATION, PTE_PRESENT, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { splitHugePmd } from './split-pmd.ts';

const COLLECT: SchedPoint = schedPoint('migrate_vma_collect: next PMD');
const MAX_SPLITS_PER_PMD = 512;

/** What a look at a part of a PMD came to: collected, or a folio or a leaf is to be split first. */
type Collected = 'done' | 'split-folio' | 'split-leaf';

/**
 * Collect phase (migrate_vma_collect): fills `src`, empties `dst`. Takes every folio lock by trylock, except where a
 * large folio has to be split first. Splitting drops the page-table lock, so that PMD is looked at again.
 */
export function* migrateVmaCollect(args: MigrateVma): Task<void> {
  const { preemptive } = args.mm.machine.scheduler;
  const collector = new Collector(args);
  let page = args.startPage;
  while (page < args.endPage) {
    if (preemptive) yield COLLECT;
    const stop = Math.min(args.endPage, (Math.floor(page / 512) + 1) * 512);
    let result = collector.collect(page, stop);
    for (let splits = 0; result !== 'done'; splits++) {
      if (result === 'split-leaf') yield* splitHugePmd(args.mm, page);
      else if (splits === MAX_SPLITS_PER_PMD || !(yield* splitForMigration(args, collector.splitHead))) {
        collector.skip(collector.page, stop);
        break;
      }
      result = collector.collect(collector.page, stop);
    }
    page = stop;
  }
  args.npages = args.endPage - args.startPage;
  args.cpages = collector.cpages;
  args.collected = collector.pages;
  args.ramSlots = collector.ramSlots;
}

/**
 * migrate_vma_split_folio. The lock and reference of the fault folio are the fault's. A busy lock is waited for, before
 * device THP it is not.
 */
function* splitForMigration(args: MigrateVma, head: Pfn): Task<boolean> {
  const { folios, machine } = args.mm;
  if (head === args.faultFolio) return (yield* splitFolio(folios, head)) === 0;
  if (!machine.profile.hmm.deviceThp && folios.isLocked(head)) return false;
  folios.get(head);
  yield* folios.lock(head);
  // It may have been split or freed by its mappers while we slept; then the second look sees that.
  const err = folios.order(head) === 0 ? 0 : yield* splitFolio(folios, head);
  folios.unlock(head);
  folios.put(head);
  return err === 0;
}

class Collector {
  cpages = 0;
  /** 4K pages in slots that migrate. */
  pages = 0;
  /** Slots with RAM, which have to be isolated from the LRU. */
  ramSlots = 0;
  /** Where the last look stopped. */
  page = 0;
  splitHead: Pfn = -1;
  readonly #args: MigrateVma;
  readonly #thp: boolean;
  /** Device window of the owner that was met last. */
  #ownFrom = 0;
  #ownTo = 0;

  constructor(args: MigrateVma) {
    this.#args = args;
    this.#thp = args.mm.machine.profile.hmm.deviceThp;
  }

  /** Slots that do not migrate. */
  skip(from: number, to: number): void {
    const base = this.#args.startPage;
    this.#args.src.clear(from - base, to - base);
    this.#args.dst.clear(from - base, to - base);
  }

  /** Look at `[page, stop)`, which lies in one PMD (migrate_vma_collect_pmd). Does not sleep. */
  collect(page: number, stop: number): Collected {
    this.page = page;
    const node = this.#args.mm.pageTable.nodeOf(page);
    if (node === null) return this.#hole(page, stop);
    if (node.huge === 0) return this.#table(node, page, stop);
    const { pmdLock } = this.#args.mm;
    pmdLock.lock();
    const collected = this.#leaf(node, page, stop);
    pmdLock.unlock();
    return collected;
  }

  /** Whether `[page, stop)` is a whole PMD that may stay whole. */
  #compound(page: number, stop: number): boolean {
    return this.#thp && (this.#args.flags & MIGRATE_VMA_SELECT_COMPOUND) !== 0 && stop - page === 512;
  }

  /** migrate_vma_collect_hole, whatever the SELECT flags say. */
  #hole(page: number, stop: number): Collected {
    const { src, vma, startPage } = this.#args;
    this.skip(page, stop);
    if (!vma!.anonymous) return 'done';
    const slot = page - startPage;
    if (this.#compound(page, stop)) {
      src.flags[slot] = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;
      this.cpages++;
    } else {
      src.flags.fill(MIGRATE_PFN_MIGRATE, slot, slot + stop - page);
      this.cpages += stop - page;
    }
    this.pages += stop - page;
    return 'done';
  }

  /** migrate_vma_collect_huge_pmd, under the lock of the PMD */
  #leaf(node: PmdNode, page: number, stop: number): Collected {
    const { mm, src, startPage } = this.#args;
    const kind = node.huge & PTE_KIND;
    const { folios } = mm;
    const head = folios.head(node.hugePfn);
    this.splitHead = head;
    // Before device THP every leaf is split, whatever is asked for.
    if (!this.#thp && kind === PTE_ZERO) return 'split-leaf';
    if (!this.#thp && kind === PTE_PRESENT) return 'split-folio';
    if (!this.#selected(node.huge, node.hugePfn)) {
      this.skip(page, stop);
      return 'done';
    }
    if (kind === PTE_ZERO) return this.#hole(page, stop);
    if (!this.#compound(page, stop) || !mayShare(folios, head, node.huge) || folios.order(head) !== 9) {
      return 'split-folio';
    }
    this.skip(page, stop);
    if (head !== this.#args.faultFolio && !folios.trylock(head)) return 'done';
    folios.get(head);
    const write = (node.huge & PTE_WRITE) !== 0 ? MIGRATE_PFN_WRITE : 0;
    makeMigrationPmd(folios, node);
    const slot = page - startPage;
    src.pfn[slot] = head;
    src.flags[slot] = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND | write;
    this.cpages++;
    this.pages += 512;
    if (head < folios.ramPages) this.ramSlots++;
    return 'done';
  }

  /**
   * Whether the kind of page is asked for; migration and other special entries never are. A present leaf counts as
   * system memory even if it is coherent device memory, as in 7.3 (finding F6).
   */
  #selected(bits: number, pfn: Pfn): boolean {
    const { flags, vma } = this.#args;
    switch (bits & PTE_KIND) {
      case PTE_PRESENT:
        return (flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0;
      case PTE_ZERO:
        return (flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0 && vma!.anonymous;
      case PTE_DEVICE:
        return this.#owned(pfn);
      default:
        return false;
    }
  }

  /** Whether a device page may be collected: asked for, and of the owner. */
  #owned(pfn: Pfn): boolean {
    const { flags, mm, pgmapOwner } = this.#args;
    const pagemap = mm.folios.pagemapOf(pfn)!;
    const select =
      pagemap.type === 'private' ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE : MIGRATE_VMA_SELECT_DEVICE_COHERENT;
    if ((flags & select) === 0 || pagemap.owner !== pgmapOwner) return false;
    this.#ownFrom = pagemap.basePfn;
    this.#ownTo = pagemap.basePfn + pagemap.pages;
    return true;
  }

  /** migrate_vma_collect_pmd for page-table entries. */
  #table(node: PmdNode, page: number, stop: number): Collected {
    const { mm, src, vma, flags, startPage, faultFolio } = this.#args;
    const { folios } = mm;
    this.skip(page, stop);
    const { refs, maps, orders, ramPages, flags: state } = folios;
    const { bits, pfn, startPage: nodeStart } = node;
    const system = (flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0;
    const hole = vma!.anonymous ? MIGRATE_PFN_MIGRATE : 0;
    const to = (stop - nodeStart) | 0;
    let at = (page - nodeStart) | 0;
    let slot = (page - startPage) | 0;
    let cpages = 0;
    let ramSlots = 0;
    for (; at < to; at++, slot++) {
      const entry = bits[at]!;
      const kind = entry & PTE_KIND;
      if (kind !== PTE_PRESENT && kind !== PTE_DEVICE) {
        if (entry === 0 || (kind === PTE_ZERO && system)) {
          src.flags[slot] = hole;
          if (hole !== 0) cpages++;
        }
        continue;
      }
      const frame = pfn[at]!;
      if (frame < ramPages ? !system : (frame < this.#ownFrom || frame >= this.#ownTo) && !this.#owned(frame))
        continue;
      let head = frame;
      if (orders[frame] !== 0) {
        head = folios.head(frame);
        // Before device THP parts of large folios do not migrate.
        if (!this.#thp) continue;
        this.page = nodeStart + at;
        this.cpages += cpages;
        this.pages += cpages;
        this.ramSlots += ramSlots;
        this.splitHead = head;
        return 'split-folio';
      }
      if (head !== faultFolio) {
        if ((state[head]! & FOLIO_LOCKED) !== 0) continue;
        if (!mayShare(folios, head, entry)) continue;
        state[head]! |= FOLIO_LOCKED;
      }
      // The reference of the entry becomes the migration's.
      maps[head]!--;
      if (frame < ramPages) ramSlots++;
      if (refs[head]! <= 0) throw new Error(`pfn ${head} is mapped but free`);
      bits[at] = (entry & ~PTE_KIND) | PTE_MIGRATION;
      src.pfn[slot] = frame;
      src.flags[slot] =
        MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE | ((entry & PTE_WRITE) !== 0 ? MIGRATE_PFN_WRITE : 0);
      cpages++;
    }
    this.cpages += cpages;
    this.pages += cpages;
    this.ramSlots += ramSlots;
    this.page = stop;
    return 'done';
  }
}
