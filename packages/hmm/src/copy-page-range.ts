import { EBUSY, ENOMEM, type Errno, type Pfn } from '@gpusvm/kernel';
import { FOLIO_ANON, FOLIO_PINNED } from './folio-flags.ts';
import { restoreExclusive } from './exclusive-entry.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import {
  MARKER_UFFD_WP,
  PTE_ANON_EXCLUSIVE,
  PTE_DEVICE,
  PTE_DIRTY,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_MARKER,
  PTE_PRESENT,
  PTE_SWAP,
  PTE_WRITE,
} from './pte.ts';
import type { Vma } from './vma.ts';

/** What a private entry loses on both sides. */
const SHARED_MASK: number = ~(PTE_WRITE | PTE_ANON_EXCLUSIVE);

/**
 * Copy the part of one PMD that lies in a VMA to the child (copy_pmd_range, copy_pte_range, copy_huge_pmd). Does not
 * sleep. Cost: about 10 ns a page.
 *
 * @param cow - the VMA is private.
 * @returns 0; `split` when a leaf has to be split first because it is pinned; -ENOMEM; -EBUSY for a device-exclusive
 * page that is locked.
 */
export function copyPmdRange(parent: Mm, child: Mm, vma: Vma, node: PmdNode, cow: boolean): Errno | 'split' {
  if (node.huge !== 0) return copyLeaf(parent, child, vma, node, cow);
  const { folios } = parent;
  const from = Math.max(vma.startPage - node.startPage, 0);
  const to = Math.min(vma.endPage - node.startPage, 512);
  if (child.pageTable.lookup(node.index) === null && folios.pteTableSite.shouldFail()) return -ENOMEM;
  const copy = child.pageTable.makeTable(node.index);
  const { refs, maps, orders, flags } = folios;
  const { bits, pfn } = node;
  const toBits = copy.bits;
  const toPfn = copy.pfn;
  for (let slot = from; slot < to; slot++) {
    const entry = bits[slot]!;
    if (entry === 0) continue;
    const frame = pfn[slot]!;
    if ((entry & PTE_KIND) !== PTE_PRESENT) {
      const err = copySpecial(parent, vma, node, copy, slot, cow);
      if (err !== 0) return err;
      continue;
    }
    const head = orders[frame] === 0 ? frame : folios.head(frame);
    if (cow && (flags[head]! & FOLIO_PINNED) !== 0 && (entry & PTE_ANON_EXCLUSIVE) !== 0) {
      if (!copyPinned(child, copy, slot, frame, vma)) return -ENOMEM;
      continue;
    }
    const shared = cow ? entry & SHARED_MASK : entry;
    bits[slot] = shared;
    toBits[slot] = shared;
    toPfn[slot] = frame;
    refs[head]!++;
    maps[head]!++;
    copy.used++;
  }
  return 0;
}

/** copy_present_page: the child gets a page of its own at once. */
function copyPinned(child: Mm, copy: PmdNode, slot: number, from: Pfn, vma: Vma): boolean {
  const { folios } = child;
  const pfn = folios.allocFolio(0);
  if (pfn < 0) return false;
  folios.flags[pfn]! |= FOLIO_ANON;
  folios.writeTag(pfn, folios.readTag(from));
  folios.maps[pfn] = 1;
  folios.rmap.add(pfn, 0, child.id, copy.startPage + slot);
  copy.pfn[slot] = pfn;
  copy.bits[slot] = PTE_PRESENT | PTE_DIRTY | PTE_ANON_EXCLUSIVE | (vma.write ? PTE_WRITE : 0);
  copy.used++;
  return true;
}

/** copy_nonpresent_pte, and the zero page. */
function copySpecial(parent: Mm, vma: Vma, node: PmdNode, copy: PmdNode, slot: number, cow: boolean): Errno {
  const { folios } = parent;
  let entry = node.bits[slot]!;
  const kind = entry & PTE_KIND;
  // Only a userfaultfd registration keeps these, and the child has none.
  if (kind === PTE_MARKER && node.pfn[slot] === MARKER_UFFD_WP) return 0;
  if (kind === PTE_EXCLUSIVE) {
    const head = folios.head(node.pfn[slot]!);
    if (folios.isLocked(head)) return -EBUSY;
    restoreExclusive(parent, vma, node, slot);
    entry = node.bits[slot]!;
  }
  if (kind === PTE_SWAP) folios.swap.duplicate(node.pfn[slot]!);
  if (kind === PTE_DEVICE || kind === PTE_EXCLUSIVE) {
    const head = folios.head(node.pfn[slot]!);
    folios.refs[head]!++;
    folios.maps[head]!++;
  }
  if (cow) entry &= SHARED_MASK;
  node.bits[slot] = entry;
  copy.bits[slot] = entry;
  copy.pfn[slot] = node.pfn[slot]!;
  copy.used++;
  return 0;
}

/** copy_huge_pmd. Leaves of page caches are left to the child's faults. */
function copyLeaf(parent: Mm, child: Mm, vma: Vma, node: PmdNode, cow: boolean): Errno | 'split' {
  const { folios } = parent;
  const kind = node.huge & PTE_KIND;
  if (!vma.anonymous && !vma.hugetlb) return 0;
  const head = folios.head(node.hugePfn);
  const owns = kind === PTE_PRESENT || kind === PTE_DEVICE;
  const pinned = (folios.flags[head]! & FOLIO_PINNED) !== 0 && (node.huge & PTE_ANON_EXCLUSIVE) !== 0;
  if (kind === PTE_PRESENT && cow && pinned) {
    return vma.hugetlb ? copyPinnedHugetlb(parent, child, vma, node) : 'split';
  }
  if (folios.pteTableSite.shouldFail()) return -ENOMEM;
  if (cow) node.huge &= SHARED_MASK;
  child.pageTable.makeHuge(node.index, node.huge, node.hugePfn);
  if (owns) {
    folios.refs[head]!++;
    folios.maps[head]!++;
  }
  return 0;
}

/** copy_hugetlb_page_range: a pinned huge page is copied, not split. */
function copyPinnedHugetlb(parent: Mm, child: Mm, vma: Vma, node: PmdNode): Errno {
  const { folios } = parent;
  const head = folios.allocFolio(9);
  if (head < 0) return -ENOMEM;
  folios.flags[head]! |= FOLIO_ANON;
  for (let i = 0; i < 512; i++) folios.writeTag(head + i, folios.readTag(node.hugePfn + i));
  folios.maps[head] = 1;
  folios.rmap.add(head, 9, child.id, node.startPage);
  const bits = PTE_PRESENT | PTE_DIRTY | PTE_ANON_EXCLUSIVE | (vma.write ? PTE_WRITE : 0);
  child.pageTable.makeHuge(node.index, bits, head);
  return 0;
}
