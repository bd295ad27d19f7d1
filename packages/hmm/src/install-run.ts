import type { Pfn } from '@gpusvm/kernel';
import { prepareAnonVma } from './anon-vma.ts';
import { FOLIO_ANON, FOLIO_HEAD } from './folio-flags.ts';
import { mapPage, mapPmd } from './map-entry.ts';
import type { Mm } from './mm.ts';
import { PTE_ANON_EXCLUSIVE, PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_ZERO } from './pte.ts';
import type { Vma } from './vma.ts';

/** How captured pages are placed. */
export interface InstallOptions {
  /** Map the zero page instead of `pfn`, which is ignored. */
  readonly zero?: boolean;
  /** Not writable although the VMA is, and shared with somebody: the next write copies. */
  readonly readOnly?: boolean;
  /**
   * Anonymous pages, or pages of the VMA's page cache. By default what a process can have: shared mappings show the
   * cache, private file mappings show the cache read-only and own copies otherwise.
   */
  readonly anon?: boolean;
}

/**
 * Place pages that the caller has claimed (`PhysicalMemory.claimPages`) at consecutive virtual pages of one VMA; how
 * captures of real processes are rebuilt.
 *
 * The run may begin and end inside a folio: a folio of which only a part is mapped is as normal as a whole one. It
 * may also span several folios of the same order. A folio belongs to the folio table from its first placement on
 * and is freed, whole, with the last mapping of any part; placing a page again adds a mapping. A PMD leaf is made
 * where 512 pages of one folio with order 9 or more meet an aligned, empty 2 MiB; everything else is mapped by single
 * entries. Nothing is notified: this is set-up, not a running process.
 *
 * Does not sleep. Cost: O(pages) without allocation, O(1) for a PMD leaf.
 *
 * @param mm - the address space.
 * @param startPage - first virtual page; inside one VMA, empty so far.
 * @param pfn - first page frame.
 * @param pages - length of the run.
 * @param order - order of the folios that hold the pages.
 * @throws RangeError when the run does not lie in one VMA or in RAM, or an entry is taken.
 */
export function installRun(
  mm: Mm,
  startPage: number,
  pfn: Pfn,
  pages: number,
  order: number,
  o: InstallOptions = {},
): void {
  const vma = mm.vmas.lookup(startPage);
  if (vma === null || startPage + pages > vma.endPage || vma.io) {
    throw new RangeError(
      `pages ${startPage}..${startPage + pages - 1} are not in one VMA that can hold pages`,
    );
  }
  const zero = o.zero === true;
  const anon = o.anon ?? (vma.mapping === null || (!vma.shared && o.readOnly !== true));
  if (!zero && !(pfn >= 1 && pfn + pages <= mm.folios.ramPages)) {
    throw new RangeError(`pfns ${pfn}..${pfn + pages - 1} are not RAM`);
  }
  if (anon && !zero) prepareAnonVma(mm, vma);
  const bits = entryBits(vma, zero, anon, o.readOnly === true);
  let i = 0;
  while (i < pages) {
    const page = startPage + i;
    const index = Math.floor(page / 512);
    const whole = (page & 511) === 0 && pages - i >= 512 && order >= 9 && (zero || ((pfn + i) & 511) === 0);
    if (
      whole &&
      mm.pageTable.lookup(index) === null &&
      installPmd(mm, vma, index, zero ? -1 : pfn + i, order, bits, anon)
    ) {
      i += 512;
      continue;
    }
    const stop = Math.min(pages, i + 512 - (page & 511));
    if (zero) installZeros(mm, page, stop - i, bits);
    else installPages(mm, vma, page, pfn + i, stop - i, order, bits, anon);
    i = stop;
  }
}

function entryBits(vma: Vma, zero: boolean, anon: boolean, readOnly: boolean): number {
  const none = vma.read ? 0 : PTE_PROTNONE;
  if (zero) return PTE_ZERO | none;
  const write = vma.write && !readOnly && (anon || vma.shared || vma.hugetlb) ? PTE_WRITE | PTE_DIRTY : 0;
  return PTE_PRESENT | none | write | (anon && !readOnly ? PTE_ANON_EXCLUSIVE : 0);
}

function installPmd(
  mm: Mm,
  vma: Vma,
  index: number,
  pfn: Pfn,
  order: number,
  bits: number,
  anon: boolean,
): boolean {
  if (pfn < 0) {
    const huge = mm.folios.zeroPages.huge();
    if (huge < 0) return false;
    mm.pageTable.makeHuge(index, bits, huge);
    return true;
  }
  const first = adopt(mm, pfn, order, anon);
  const node = mapPmd(mm, index, pfn, bits);
  if (!anon && vma.mapping !== null) {
    const offset = vma.offsetOf(node.startPage);
    for (let k = 0; k < 512; k++) mm.folios.pageCache.adopt(vma.mapping, offset + k, pfn + k);
  }
  if (first) mm.folios.put(mm.folios.head(pfn));
  return true;
}

function installPages(
  mm: Mm,
  vma: Vma,
  page: number,
  pfn: Pfn,
  pages: number,
  order: number,
  bits: number,
  anon: boolean,
): void {
  const node = mm.pageTable.makeTable(Math.floor(page / 512));
  const slot = page & 511;
  for (let k = 0; k < pages; k++) {
    if (node.huge !== 0 || node.bits[slot + k] !== 0)
      throw new RangeError(`page ${page + k} is populated already`);
    const first = adopt(mm, pfn + k, order, anon);
    mapPage(mm, node, slot + k, pfn + k, bits);
    if (!anon && vma.mapping !== null)
      mm.folios.pageCache.adopt(vma.mapping, vma.offsetOf(page + k), pfn + k);
    if (first) mm.folios.put(mm.folios.head(pfn + k));
  }
}

function installZeros(mm: Mm, page: number, pages: number, bits: number): void {
  const zero = mm.folios.zeroPages.zero();
  if (zero < 0) throw new RangeError('no memory for the zero page');
  const node = mm.pageTable.makeTable(Math.floor(page / 512));
  for (let slot = page & 511, end = slot + pages; slot < end; slot++) {
    if (node.huge !== 0 || node.bits[slot] !== 0)
      throw new RangeError(`page ${node.startPage + slot} is populated already`);
    node.bits[slot] = bits;
    node.pfn[slot] = zero;
    node.used++;
  }
}

/** Take over claimed pages; true when this made the folio, whose first reference the caller then holds. */
function adopt(mm: Mm, pfn: Pfn, order: number, anon: boolean): boolean {
  const folios = mm.folios;
  const head = order === 0 ? pfn : Math.floor(pfn / 2 ** order) * 2 ** order;
  if ((folios.flags[head]! & FOLIO_HEAD) !== 0) {
    if (folios.order(pfn) !== order)
      throw new RangeError(`pfn ${pfn} is in a folio of order ${folios.order(pfn)}, not ${order}`);
    return false;
  }
  folios.prep(head, order, FOLIO_HEAD | (anon ? FOLIO_ANON : 0), 1);
  return true;
}
