import { type Pfn, PMD_ORDER } from '@gpusvm/kernel';
import { prepareAnonVma } from './anon-vma.ts';
import { CPU_FAULT_THP } from './counters.ts';
import { FOLIO_ANON, FOLIO_HEAD, FOLIO_SWAPCACHE } from './folio-flags.ts';
import { mapPage, mapPmd } from './map-entry.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import {
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_KIND,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  PTE_ZERO,
} from './pte.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS } from './vm-fault.ts';
import type { Vma } from './vma.ts';

/** The fault needs somebody who can sleep: a notification, another task, a device. */
export const FAULT_SLOW = -1;

const WRITABLE = PTE_PRESENT | PTE_WRITE;
/** fault_around_bytes, 64 KiB. */
const FAULT_AROUND_PAGES = 16;
const WRITE_MASK = PTE_KIND | PTE_WRITE | PTE_PROTNONE;
const ANON_WRITABLE = PTE_PRESENT | PTE_WRITE | PTE_DIRTY | PTE_ANON_EXCLUSIVE;

/**
 * The part of handle_mm_fault that needs no sleep in this model: first touch of a page, reuse of a page that belongs
 * to the entry alone, upgrade of a shared mapping. The VMA allows the access. Nothing is notified, because nothing
 * that a device could hold changes.
 *
 * @returns 0 when the access may be retried, VM_FAULT_*, or {@link FAULT_SLOW}.
 */
export function minorFault(mm: Mm, vma: Vma, page: number, write: boolean): number {
  const index = Math.floor(page / 512);
  let node = mm.pageTable.lookup(index);
  // check_stable_address_space: nothing new after the OOM reaper.
  if (mm.unstable && (node === null || (node.huge === 0 && node.bits[page & 511] === 0)))
    return VM_FAULT_SIGBUS;
  if (node === null) {
    if (vma.uffd !== null) return FAULT_SLOW;
    if (vma.hugetlb) return hugetlbFault(mm, vma, index);
    if (vma.hugepage && vma.anonymous && vma.fitsPmd(index * 512) && anonymousPmd(mm, vma, index, write))
      return 0;
    node = makeTable(mm, index);
    if (node === null) return VM_FAULT_OOM;
  }
  if (node.huge !== 0) return write ? reusePmd(mm, vma, node) : readable(node.huge);
  const slot = page & 511;
  const bits = node.bits[slot]!;
  if (bits === 0) {
    if (vma.uffd !== null) return FAULT_SLOW;
    return vma.mapping === null
      ? anonymousPage(mm, vma, node, slot, write)
      : mappedPage(mm, vma, node, slot, write);
  }
  return write ? reusePage(mm, vma, node, slot) : readable(bits);
}

/**
 * As {@link minorFault} for a run of pages: skips entries that allow the access and fills empty entries of anonymous
 * memory for writing, at about 20 ns a page.
 *
 * @returns the first page that is left to {@link minorFault}, `endPage` when none is; `-1 - page` when there is no
 * memory for `page`.
 */
export function minorFaultRun(mm: Mm, vma: Vma, startPage: number, endPage: number, write: boolean): number {
  let page = startPage;
  while (page < endPage) {
    const node = mm.pageTable.nodeOf(page);
    if (node === null || node.huge !== 0) return page;
    const from = page - node.startPage;
    const to = Math.min(endPage - node.startPage, 512);
    const slot = write ? fillWritable(mm, vma, node, from, to) : skipReadable(node, from, to);
    if (slot < 0) return -1 - (node.startPage + -1 - slot);
    if (slot < to) return node.startPage + slot;
    page = node.startPage + slot;
  }
  return page;
}

function skipReadable(node: PmdNode, from: number, to: number): number {
  const { bits } = node;
  let slot = from;
  while (slot < to && readable(bits[slot]!) === 0) slot++;
  return slot;
}

/** First slot that was not handled, or `-1 - slot` without memory. */
function fillWritable(mm: Mm, vma: Vma, node: PmdNode, from: number, to: number): number {
  const { folios, id } = mm;
  const { gather, allocSite, rmap, refs, maps, flags, orders } = folios;
  const { bits, pfn } = node;
  const fill = vma.mapping === null && vma.write && !mm.unstable && vma.uffd === null;
  let slot = from;
  let failed = false;
  for (; slot < to; slot++) {
    const entry = bits[slot]!;
    if (entry !== 0) {
      if ((entry & WRITE_MASK) === WRITABLE) continue;
      break;
    }
    if (!fill) break;
    const fresh = allocSite.shouldFail() ? -1 : gather.alloc(to - slot);
    failed = fresh < 0;
    if (failed) break;
    orders[fresh] = 0;
    flags[fresh] = FOLIO_HEAD | FOLIO_ANON;
    refs[fresh] = 1;
    maps[fresh] = 1;
    rmap.mmIds[fresh] = id;
    rmap.bases[fresh] = node.startPage + slot;
    bits[slot] = ANON_WRITABLE;
    pfn[slot] = fresh;
    node.used++;
  }
  gather.endAlloc();
  if (fill) prepareAnonVma(mm, vma);
  return failed ? -1 - slot : slot;
}

/** A page table for an empty PMD; asks the fault site `hmm.pte_table`. */
function makeTable(mm: Mm, index: number): PmdNode | null {
  return mm.folios.pteTableSite.shouldFail() ? null : mm.pageTable.makeTable(index);
}

/** A read of a present or zero page needs nothing; every other kind of entry is for the slow path. */
function readable(bits: number): number {
  const kind = bits & PTE_KIND;
  return (kind === PTE_PRESENT || kind === PTE_ZERO) && (bits & PTE_PROTNONE) === 0 ? 0 : FAULT_SLOW;
}

/** do_anonymous_page */
function anonymousPage(mm: Mm, vma: Vma, node: PmdNode, slot: number, write: boolean): number {
  if (!write) {
    const zero = mm.folios.zeroPages.zero();
    if (zero < 0) return VM_FAULT_OOM;
    node.bits[slot] = PTE_ZERO;
    node.pfn[slot] = zero;
    node.used++;
    return 0;
  }
  return mapNewAnon(mm, vma, node, slot, vma.write) < 0 ? VM_FAULT_OOM : 0;
}

/** A fresh anonymous page in an empty entry; its pfn, or -1. */
function mapNewAnon(mm: Mm, vma: Vma, node: PmdNode, slot: number, writable: boolean): Pfn {
  const folios = mm.folios;
  const pfn = folios.allocFolio(0);
  if (pfn < 0) return pfn;
  folios.flags[pfn]! |= FOLIO_ANON;
  folios.maps[pfn] = 1;
  folios.rmap.add(pfn, 0, mm.id, node.startPage + slot);
  prepareAnonVma(mm, vma);
  node.bits[slot] = writable ? ANON_WRITABLE : PTE_PRESENT | PTE_ANON_EXCLUSIVE;
  node.pfn[slot] = pfn;
  node.used++;
  return pfn;
}

/** do_huge_pmd_anonymous_page; false falls back to single pages. */
function anonymousPmd(mm: Mm, vma: Vma, index: number, write: boolean): boolean {
  const folios = mm.folios;
  if (!write) {
    const huge = folios.zeroPages.huge();
    if (huge < 0) return false;
    // Unlike a small zero page, the huge one comes after vmf_anon_prepare.
    prepareAnonVma(mm, vma);
    mm.pageTable.makeHuge(index, PTE_ZERO, huge);
  } else if (!mapNewAnonPmd(mm, vma, index)) {
    return false;
  }
  folios.counters.values[CPU_FAULT_THP]!++;
  return true;
}

/** @internal A fresh PMD-sized anonymous folio at an empty PMD; false without memory. */
export function mapNewAnonPmd(mm: Mm, vma: Vma, index: number): boolean {
  const folios = mm.folios;
  const head = folios.allocFolio(PMD_ORDER);
  if (head < 0) return false;
  folios.flags[head]! |= FOLIO_ANON;
  prepareAnonVma(mm, vma);
  mapPmd(mm, index, head, vma.write ? ANON_WRITABLE : PTE_PRESENT | PTE_ANON_EXCLUSIVE);
  folios.put(head);
  return true;
}

/** hugetlb_fault: a huge page or nothing. */
function hugetlbFault(mm: Mm, vma: Vma, index: number): number {
  return mapNewAnonPmd(mm, vma, index) ? 0 : VM_FAULT_SIGBUS;
}

/** do_fault: page cache and shared anonymous memory. A private write copies without a notification. */
function mappedPage(mm: Mm, vma: Vma, node: PmdNode, slot: number, write: boolean): number {
  const folios = mm.folios;
  const space = vma.mapping!;
  if (!write && !vma.mixedmap) {
    faultAround(mm, vma, node, slot);
    if (node.bits[slot] !== 0) return 0;
  }
  const cached = folios.pageCache.fault(space, vma.offsetOf(node.startPage + slot));
  if (cached < 0) return VM_FAULT_OOM;
  if (write && !vma.shared) {
    const pfn = mapNewAnon(mm, vma, node, slot, true);
    if (pfn < 0) return VM_FAULT_OOM;
    folios.writeTag(pfn, folios.readTag(cached));
    return 0;
  }
  mapPage(mm, node, slot, cached, mappedBits(vma, write));
  return 0;
}

function mappedBits(vma: Vma, write: boolean): number {
  const writable = vma.shared && vma.write && (write || vma.mapping!.shmem);
  return PTE_PRESENT | (writable ? PTE_WRITE : 0) | (writable && write ? PTE_DIRTY : 0);
}

/** do_fault_around: a read fault maps whatever the page cache has of the aligned 64 KiB around it. */
function faultAround(mm: Mm, vma: Vma, node: PmdNode, slot: number): void {
  const { pages } = vma.mapping!;
  const from = Math.max(slot - (slot % FAULT_AROUND_PAGES), vma.startPage - node.startPage);
  const to = Math.min(from + FAULT_AROUND_PAGES, 512, vma.endPage - node.startPage);
  for (let at = from; at < to; at++) {
    if (node.bits[at] !== 0) continue;
    const cached = pages.get(vma.offsetOf(node.startPage + at));
    if (cached === undefined || mm.folios.isLocked(mm.folios.head(cached))) continue;
    mapPage(mm, node, at, cached, mappedBits(vma, false));
  }
}

/** do_wp_page where nothing has to be copied. */
function reusePage(mm: Mm, vma: Vma, node: PmdNode, slot: number): number {
  const bits = node.bits[slot]!;
  if ((bits & PTE_KIND) !== PTE_PRESENT || (bits & PTE_PROTNONE) !== 0) return FAULT_SLOW;
  if ((bits & PTE_WRITE) !== 0) return 0;
  if (!vma.shared && !canReuse(mm, node.pfn[slot]!, bits)) return FAULT_SLOW;
  node.bits[slot] = bits | PTE_WRITE | PTE_DIRTY | (vma.shared ? 0 : PTE_ANON_EXCLUSIVE);
  return 0;
}

/** do_huge_pmd_wp_page where nothing has to be split. */
function reusePmd(mm: Mm, vma: Vma, node: PmdNode): number {
  const bits = node.huge;
  if ((bits & PTE_KIND) !== PTE_PRESENT || (bits & PTE_PROTNONE) !== 0) return FAULT_SLOW;
  if ((bits & PTE_WRITE) !== 0) return 0;
  if (!vma.shared && !canReuse(mm, node.hugePfn, bits)) return FAULT_SLOW;
  node.huge = bits | PTE_WRITE | PTE_DIRTY | (vma.shared ? 0 : PTE_ANON_EXCLUSIVE);
  return 0;
}

/** @internal wp_can_reuse_anon_folio: the entry is known to own the page alone, or nobody else has a reference. */
export function canReuse(mm: Mm, pfn: Pfn, bits: number): boolean {
  if ((bits & PTE_ANON_EXCLUSIVE) !== 0) return true;
  const folios = mm.folios;
  const head = folios.head(pfn);
  if ((folios.flags[head]! & FOLIO_ANON) === 0 || folios.maps[head] !== 1) return false;
  if ((folios.flags[head]! & FOLIO_SWAPCACHE) !== 0) folios.swap.tryFreeCache(head);
  return folios.refs[head] === 1;
}
