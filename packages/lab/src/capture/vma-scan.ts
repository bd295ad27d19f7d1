import { readSync } from 'node:fs';
import { HPAGE_PMD_NR, PMD_ORDER } from '@gpusvm/kernel';
import { PageFlag } from './capture.ts';
import type { FolioMap } from './folio-map.ts';
import type { PageRunsBuilder } from './page-runs.ts';
import { isPresent, isSwapped, PagemapHigh, WORD_HIGH, WORD_LOW } from './pagemap-entry.ts';
import type { SmapsVma } from './smaps.ts';

/** Pages read at once: 512 KiB of pagemap, a multiple of 512 pages so that no PMD is split. */
const CHUNK_PAGES = 2 ** 16;

/** VMAs up to this size (256 MiB) are always read whole: the counts of smaps leave out the zero page. */
const SMALL_VMA_PAGES = 2 ** 16;

/** What a scan is given. */
export interface VmaScanInput {
  /** `/proc/PID/pagemap`, open for reading. */
  readonly pagemapFd: number;
  /** Folios of physical memory, or undefined when the kernel hides pfns. */
  readonly folios: FolioMap | undefined;
  /** Receives the runs. */
  readonly builder: PageRunsBuilder;
}

/** Reads the population of VMAs from pagemap, in address order. */
export class VmaScan {
  /** Bytes read from pagemap. */
  bytesRead = 0;
  readonly #input: VmaScanInput;
  readonly #chunk: Uint32Array = new Uint32Array(CHUNK_PAGES * 2);
  /** PMD-mapped pages of the VMA that were not met yet. */
  #pmdBudget = 0;
  #hugetlb = false;
  /** Pages of the VMA met so far that its counts in smaps include. */
  #counted = 0;

  /** @param input - see {@link VmaScanInput} */
  constructor(input: VmaScanInput) {
    this.#input = input;
  }

  /**
   * Appends the runs of one VMA.
   *
   * @param entry - the VMA with its counts
   * @returns false when pagemap ended before the VMA did, as when the process exits
   *
   * @remarks
   * Cost: 8 bytes a page of address space up to the last populated page. A large VMA is left unread when smaps counts
   * nothing in it, and left early when all that smaps counts was met; so a reservation of terabytes with its pages at
   * the front is cheap, and one with a page at the far end is read whole (about 1 s for each 512 GiB).
   */
  scan(entry: SmapsVma): boolean {
    const { startPage, endPage, io, hugetlb } = entry.vma;
    const large = endPage - startPage > SMALL_VMA_PAGES;
    if (io || (large && entry.residentPages === 0)) return true;
    this.#pmdBudget = entry.pmdMappedPages;
    this.#hugetlb = hugetlb;
    this.#counted = 0;
    for (let page = startPage; page < endPage; ) {
      const chunkEnd = Math.min(endPage, (Math.floor(page / CHUNK_PAGES) + 1) * CHUNK_PAGES);
      if (!this.#readChunk(page, chunkEnd - page)) return false;
      this.#scanChunk(page, chunkEnd - page);
      if (large && this.#counted >= entry.residentPages) break;
      page = chunkEnd;
    }
    this.#input.builder.seal();
    return true;
  }

  #readChunk(page: number, pages: number): boolean {
    const bytes = pages * 8;
    for (let done = 0; done < bytes; ) {
      const count = readSync(this.#input.pagemapFd, this.#chunk, done, bytes - done, page * 8 + done);
      if (count === 0) return false;
      done += count;
    }
    this.bytesRead += bytes;
    return true;
  }

  #scanChunk(startPage: number, pages: number): void {
    for (let i = 0; i < pages; ) {
      const aligned = (startPage + i) % HPAGE_PMD_NR === 0 && i + HPAGE_PMD_NR <= pages;
      if (aligned && this.#appendPmd(startPage + i, i)) {
        i += HPAGE_PMD_NR;
        continue;
      }
      const end = Math.min(pages, i + HPAGE_PMD_NR - ((startPage + i) % HPAGE_PMD_NR));
      for (; i < end; i++) this.#appendPage(startPage + i, i);
    }
  }

  #high(index: number): number {
    return this.#chunk[index * 2 + WORD_HIGH] ?? 0;
  }

  #pfn(index: number): number {
    return (this.#high(index) & PagemapHigh.PFN) * 2 ** 32 + (this.#chunk[index * 2 + WORD_LOW] ?? 0);
  }

  #appendPage(page: number, index: number): void {
    const high = this.#high(index);
    if (!isPresent(high)) {
      if (isSwapped(high)) {
        this.#counted++;
        this.#input.builder.append(page, 1, 0, 0, PageFlag.SWAPPED);
      }
      return;
    }
    const flags = this.#presentFlags(index);
    if (this.#isCounted(high, flags)) this.#counted++;
    const { folios, builder } = this.#input;
    // Without pfns the page number stands in, so that neighbours with equal flags merge.
    if (folios === undefined) builder.append(page, 1, page, 0, flags);
    else builder.append(page, 1, this.#pfn(index), folios.order(this.#pfn(index)), flags);
  }

  #presentFlags(index: number): number {
    const high = this.#high(index);
    return (
      ((high & PagemapHigh.FILE_OR_SHMEM) === 0 ? PageFlag.ANON : 0) |
      ((high & PagemapHigh.EXCLUSIVE) === 0 ? PageFlag.SHARED : 0) |
      (this.#input.folios?.isZero(this.#pfn(index)) === true ? PageFlag.ZERO : 0)
    );
  }

  /** The zero page is in no count of smaps. Where pfns are hidden, what may be the zero page is taken for it. */
  #isCounted(high: number, flags: number): boolean {
    if (this.#input.folios !== undefined) return (flags & PageFlag.ZERO) === 0;
    return (high & (PagemapHigh.FILE_OR_SHMEM | PagemapHigh.EXCLUSIVE)) !== 0;
  }

  /**
   * Appends 512 aligned pages when a PMD can map them. Pagemap has no bit for that: smaps says how many pages of the
   * VMA are PMD-mapped, and the first that look so are taken.
   */
  #appendPmd(page: number, index: number): boolean {
    if (!isPresent(this.#high(index))) return false;
    const flags = this.#presentFlags(index);
    const zero = (flags & PageFlag.ZERO) !== 0;
    if (!this.#hugetlb && !zero && this.#pmdBudget < HPAGE_PMD_NR) return false;
    const { folios, builder } = this.#input;
    const pfn = folios === undefined ? page : this.#pfn(index);
    const order = folios === undefined ? PMD_ORDER : folios.order(pfn);
    if (order < PMD_ORDER || pfn % HPAGE_PMD_NR !== 0 || !this.#uniform(index)) return false;
    if (!zero) {
      this.#counted += HPAGE_PMD_NR;
      this.#pmdBudget -= HPAGE_PMD_NR;
    }
    builder.append(page, HPAGE_PMD_NR, pfn, order, flags | PageFlag.PMD_MAPPED);
    return true;
  }

  /** Whether 512 entries are present with equal bits and, where pfns are seen, contiguous. */
  #uniform(index: number): boolean {
    const first = this.#high(index);
    const step = this.#input.folios === undefined ? 0 : 1;
    const low = this.#chunk[index * 2 + WORD_LOW] ?? 0;
    // Soft-dirty differs inside a PMD only after a split, so equal high words are part of the test. An aligned PMD
    // does not carry into the high word.
    for (let i = 1; i < HPAGE_PMD_NR; i++) {
      if (this.#high(index + i) !== first) return false;
      if ((this.#chunk[(index + i) * 2 + WORD_LOW] ?? 0) !== low + i * step) return false;
    }
    return true;
  }
}
