import { type Errno, HPAGE_PMD_NR } from '@gpusvm/kernel';
import type { DmaEntries } from './res-cursor.ts';
import { MAX_COPY_PAGES } from './config.ts';
import { NO_TABLE, type PtPool } from './pt.ts';
import {
  entryHigh,
  entryLow,
  leafLowFlags,
  XE_PAGE_PRESENT,
  XE_PAGE_RW,
  XE_PPGTT_PTE_DM,
} from './pt-encoding.ts';
import { levelIndex } from './pt-walk.ts';
import { PtBindStage } from './pt-stage.ts';
import { ResCursor, XE_INTERCONNECT_VRAM } from './res-cursor.ts';
import type { VramRegion } from './vram.ts';

const ROOT_LEVEL = 3;
/** Window slot n is visible at virtual address `(n + 1) << 21`. */
const WINDOW_START_PAGE = HPAGE_PMD_NR;
const WINDOW_TABLES = MAX_COPY_PAGES / HPAGE_PMD_NR;
/** First page of the window of 2M entries (large_page_copy_ofs = 32 << 21). */
const LARGE_WINDOW_START_PAGE = 32 * HPAGE_PMD_NR;
/** First page of the identity map of device memory: 256 GiB. */
const IDENTITY_START_PAGE = 2 ** 26;

/**
 * Address space of the copy engine (xe_migrate_prepare_vm): a window of table entries that every job writes
 * anew, and an identity map of device memory with 1G pages, the last part with 2M pages.
 */
export class MigrateVm {
  readonly root: number;
  readonly #pool: PtPool;
  readonly #vram: VramRegion;
  readonly #windows: number[] = [];
  #directory: number = NO_TABLE;

  /** @throws Error when there is no memory for the tables: probing the device fails. */
  constructor(pool: PtPool, vram: VramRegion) {
    this.#pool = pool;
    this.#vram = vram;
    this.root = this.#table(ROOT_LEVEL);
    const level2 = this.#link(this.root, 0, ROOT_LEVEL - 1);
    this.#directory = this.#link(level2, 0, 1);
    for (let n = 0; n < WINDOW_TABLES; n++) {
      this.#windows.push(this.#link(this.#directory, levelIndex(WINDOW_START_PAGE, 1) + n, 0));
    }
    if (vram.pages > 0) this.#mapIdentity();
  }

  /** Virtual page at which the identity map shows a DPA frame. */
  identityPage(dpaFrame: number): number {
    return IDENTITY_START_PAGE + dpaFrame - this.#vram.dpaBaseFrame;
  }

  /**
   * Write the window entries for the system side of a job. Does not sleep.
   *
   * @param entries - sparse array of the caller; slot `first` starts the job.
   * @param huge - every 2M step is one entry of order 9: one level-1 entry each.
   * @returns first virtual page of the window.
   */
  writeWindow(entries: DmaEntries, first: number, pages: number, huge: boolean): number {
    return huge ? this.#writeLarge(entries, first, pages) : this.#writeSmall(entries, first, pages);
  }

  /** Free the tables. */
  destroy(): void {
    this.#pool.freeTree(this.root);
  }

  #writeLarge(entries: DmaEntries, first: number, pages: number): number {
    const flags = leafLowFlags(0, 1, XE_PAGE_RW);
    for (let i = 0; i < pages; i += HPAGE_PMD_NR) {
      const frame = entries.addr[first + i]! / 4096;
      const index = levelIndex(LARGE_WINDOW_START_PAGE + i, 1);
      this.#pool.write(this.#directory, index, entryLow(frame, flags), entryHigh(frame, 0));
    }
    return LARGE_WINDOW_START_PAGE;
  }

  /** 4K entries; the slots behind an entry of a higher order continue its address. */
  #writeSmall(entries: DmaEntries, first: number, pages: number): number {
    const pool = this.#pool;
    const words = pool.words;
    const flags = leafLowFlags(0, 0, XE_PAGE_RW);
    for (let i = 0; i < pages; ) {
      let frame = entries.addr[first + i]! / 4096;
      const end = i + (1 << entries.order[first + i]!);
      for (; i < end; i++, frame++) {
        const at = pool.base(this.#windows[i >> 9]!) + (i & (HPAGE_PMD_NR - 1)) * 2;
        words[at] = (frame << 12) | flags;
        words[at + 1] = Math.floor(frame / 0x10_0000);
      }
    }
    pool.countWrites(pages);
    return WINDOW_START_PAGE;
  }

  #mapIdentity(): void {
    const vram = this.#vram;
    // Entries exist for whole 2M; what lies behind the end of memory is never asked for.
    const pages = Math.ceil(vram.pages / HPAGE_PMD_NR) * HPAGE_PMD_NR;
    const entries = {
      addr: Float64Array.of(vram.dpaBaseBytes),
      order: Uint8Array.of(0),
      proto: Uint8Array.of(XE_INTERCONNECT_VRAM),
    };
    const cursor = new ResCursor(entries, 1);
    cursor.segmentPages = pages;
    cursor.remainingPages = pages;
    const stage = new PtBindStage(this.#pool);
    const flags = XE_PAGE_RW | XE_PPGTT_PTE_DM;
    const format = { patIndex: 0, vramFlags: flags, systemFlags: flags, compact64k: false, needs64k: false };
    const err: Errno = stage.stage(
      this.root,
      IDENTITY_START_PAGE,
      IDENTITY_START_PAGE + pages,
      cursor,
      format,
    );
    if (err !== 0) throw new Error(`no page tables for the identity map of the copy engine: ${err}`);
    stage.commit(false);
  }

  #link(parent: number, index: number, level: number): number {
    const child = this.#table(level);
    this.#pool.write(parent, index, entryLow(child, XE_PAGE_PRESENT), 0);
    this.#pool.children(parent)[index] = child;
    this.#pool.live[parent]!++;
    return child;
  }

  #table(level: number): number {
    const table = this.#pool.alloc(level, false);
    if (table === NO_TABLE) throw new Error('no page table for the copy engine: probing the device fails');
    return table;
  }
}
