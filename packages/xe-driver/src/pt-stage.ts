import { ENOMEM, type Errno } from '@gpusvm/kernel';
import { NO_TABLE, type PtPool } from './pt.ts';
import {
  entryHigh,
  entryLow,
  LEVEL_PAGES,
  leafHighFlags,
  leafLowFlags,
  MAX_HUGEPTE_LEVEL,
  PAGES_64K,
  PT_ENTRIES,
  XE_PAGE_PRESENT,
  XE_PDE_64K,
} from './pt-encoding.ts';
import { fill4k, fill64k, is64kAble, type LeafFormat, leafFlags } from './pt-fill.ts';
import { ResCursor } from './res-cursor.ts';

/** Values of one level of a table that will be written at commit (struct xe_vm_pgtable_update). */
interface PtUpdate {
  table: number;
  first: number;
  count: number;
  /** Position of the first value in the staging arrays. */
  offset: number;
}

/**
 * Stages one bind: builds tables that nobody sees yet, and records what has to be written into tables that are
 * live (xe_pt_stage_bind). {@link commit} cannot fail, {@link abort} leaves nothing behind. One object per VM is
 * reused for every bind, under the VM lock.
 */
export class PtBindStage {
  readonly #pool: PtPool;
  readonly #look: ResCursor;
  readonly #updates: PtUpdate[] = [];
  readonly #newTables: number[] = [];
  #words: Uint32Array = new Uint32Array(2048);
  #children: Int32Array = new Int32Array(1024);
  #updateCount = 0;
  #staged = 0;
  #cursor: ResCursor;
  #format: LeafFormat | null = null;
  #start = 0;
  #end = 0;

  constructor(pool: PtPool) {
    this.#pool = pool;
    const none = { addr: new Float64Array(1), order: new Uint8Array(1), proto: new Uint8Array(1) };
    this.#look = new ResCursor(none, 0);
    this.#cursor = this.#look;
  }

  /** Records of the current stage; at most two per level plus one. */
  get updates(): number {
    return this.#updateCount;
  }

  /**
   * Build the entries of `[startPage, endPage)`. Does not sleep. Cost: linear in entries.
   *
   * @param cursor - stands on the first page and covers the whole interval.
   * @returns 0; -ENOMEM for a table; -EINVAL when device memory that needs 64K is not 64K-able. On error
   * everything is unwound.
   */
  stage(root: number, startPage: number, endPage: number, cursor: ResCursor, format: LeafFormat): Errno {
    this.#updateCount = 0;
    this.#staged = 0;
    this.#newTables.length = 0;
    this.#cursor = cursor;
    this.#format = format;
    this.#start = startPage;
    this.#end = endPage;
    const rootStart = 0;
    const err = this.#table(root, rootStart, true);
    if (err !== 0) this.abort();
    return err;
  }

  /**
   * Write the staged values into the live tables (xe_pt_commit); tables that were replaced are freed. The caller
   * holds the notifier lock and has checked that the pages are still valid.
   *
   * @param rebind - the interval was bound before, so that no entry becomes live.
   */
  commit(rebind: boolean): void {
    const pool = this.#pool;
    for (let u = 0; u < this.#updateCount; u++) {
      const { table, first, count, offset } = this.#updates[u]!;
      const base = pool.base(table) + first * 2;
      const words = this.#words.subarray(offset * 2, (offset + count) * 2);
      pool.words.set(words, base);
      pool.countWrites(count);
      if (!rebind) pool.live[table]! += count;
      const isDirectory = pool.level[table]! > 0;
      if (!isDirectory) continue;
      pool.directoryVersion++;
      this.#replaceChildren(table, first, count, offset);
    }
    this.#newTables.length = 0;
    this.#updateCount = 0;
  }

  /** Free the tables of a stage that is not committed (xe_pt_abort_bind). */
  abort(): void {
    for (const table of this.#newTables) this.#pool.free(table);
    this.#newTables.length = 0;
    this.#updateCount = 0;
  }

  #replaceChildren(table: number, first: number, count: number, offset: number): void {
    const children = this.#pool.children(table);
    for (let k = 0; k < count; k++) {
      const old = children[first + k]!;
      children[first + k] = this.#children[offset + k]!;
      if (old !== NO_TABLE) this.#pool.freeTree(old);
    }
  }

  /** Entries of one table. `connected` tables are live: their values are recorded, not written. */
  #table(table: number, tableStart: number, connected: boolean): Errno {
    const level = this.#pool.level[table]!;
    if (level === 0) return this.#leaves(table, tableStart, connected);
    const span = LEVEL_PAGES[level as 1];
    const first = Math.max(0, Math.floor((this.#start - tableStart) / span));
    const last = Math.min(PT_ENTRIES, Math.ceil((this.#end - tableStart) / span));
    let open: PtUpdate | null = null;
    for (let i = first; i < last; i++) {
      const entryStart = tableStart + i * span;
      const covers = entryStart >= this.#start && entryStart + span <= this.#end;
      const known = connected && !covers ? this.#pool.children(table)[i]! : NO_TABLE;
      if (known !== NO_TABLE) {
        open = null;
        const err = this.#table(known, entryStart, true);
        if (err !== 0) return err;
        continue;
      }
      if (connected) open ??= this.#open(table, i);
      const err =
        covers && this.#huge(table, i, level, open) ? 0 : this.#child(table, i, level, entryStart, open);
      if (err !== 0) return err;
    }
    return 0;
  }

  /** A leaf at level 1 or 2 if the address segment covers the entry and is aligned to it. */
  #huge(table: number, index: number, level: number, open: PtUpdate | null): boolean {
    const cursor = this.#cursor;
    const span = LEVEL_PAGES[level as 1];
    if (level > MAX_HUGEPTE_LEVEL || cursor.segmentPages < span) return false;
    const frame = cursor.addrBytes / 4096;
    if (Math.floor(frame / span) * span !== frame) return false;
    const { patIndex } = this.#format!;
    const low = leafLowFlags(patIndex, level, leafFlags(this.#cursor, this.#format!));
    this.#put(table, index, entryLow(frame, low), entryHigh(frame, leafHighFlags(patIndex)), NO_TABLE, open);
    cursor.advance(span);
    return true;
  }

  /** A pointer to a new table that is filled right away. */
  #child(table: number, index: number, level: number, entryStart: number, open: PtUpdate | null): Errno {
    const span = LEVEL_PAGES[level as 1];
    const whole = entryStart >= this.#start && entryStart + span <= this.#end;
    const compact =
      level === 1 && whole && this.#format!.compact64k && is64kAble(this.#cursor, this.#look, span);
    const child = this.#pool.alloc(level - 1, compact);
    if (child === NO_TABLE) return -ENOMEM;
    this.#newTables.push(child);
    const err = this.#table(child, entryStart, false);
    if (err !== 0) return err;
    this.#put(table, index, entryLow(child, XE_PAGE_PRESENT | (compact ? XE_PDE_64K : 0)), 0, child, open);
    return 0;
  }

  #put(table: number, index: number, low: number, high: number, child: number, open: PtUpdate | null): void {
    const pool = this.#pool;
    if (open === null) {
      pool.write(table, index, low, high);
      pool.children(table)[index] = child;
      pool.live[table]!++;
      return;
    }
    this.#reserve(1);
    this.#words[this.#staged * 2] = low;
    this.#words[this.#staged * 2 + 1] = high;
    this.#children[this.#staged] = child;
    this.#staged++;
    open.count++;
  }

  #leaves(table: number, tableStart: number, connected: boolean): Errno {
    const pool = this.#pool;
    const compact = pool.compact[table] === 1;
    if (compact && connected) throw new RangeError(`bind of a part of the compact table ${table}`);
    const step = compact ? PAGES_64K : 1;
    const first = Math.max(this.#start, tableStart);
    const last = Math.min(this.#end, tableStart + PT_ENTRIES);
    const count = (last - first) / step;
    const index = (first - tableStart) / step;
    if (connected) {
      this.#reserve(count);
      const at = this.#staged;
      this.#open(table, index).count = count;
      this.#staged += count;
      return compact ? 0 : fill4k(this.#words, at * 2, this.#cursor, this.#format!, first, last);
    }
    pool.live[table] = count;
    pool.countWrites(count);
    const base = pool.base(table) + index * 2;
    if (!compact) return fill4k(pool.words, base, this.#cursor, this.#format!, first, last);
    fill64k(pool.words, base, this.#cursor, this.#format!);
    return 0;
  }

  #open(table: number, first: number): PtUpdate {
    let update = this.#updates[this.#updateCount];
    if (update === undefined) {
      update = { table, first, count: 0, offset: 0 };
      this.#updates.push(update);
    }
    update.table = table;
    update.first = first;
    update.count = 0;
    update.offset = this.#staged;
    this.#updateCount++;
    return update;
  }

  #reserve(entries: number): void {
    const need = this.#staged + entries;
    if (need <= this.#children.length) return;
    const words = new Uint32Array(need * 4);
    words.set(this.#words);
    this.#words = words;
    const children = new Int32Array(need * 2);
    children.set(this.#children);
    this.#children = children;
  }
}
