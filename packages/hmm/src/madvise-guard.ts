import { EINVAL, ENOMEM, type Errno, type Task, done } from '@gpusvm/kernel';
import { prepareAnonVma } from './anon-vma.ts';
import { madviseWalkVmas } from './madvise-walk.ts';
import { zapVmaRange } from './madvise.ts';
import type { Mm } from './mm.ts';
import { MARKER_GUARD, PTE_MARKER } from './pte.ts';
import { isMarker } from './try-to-unmap.ts';
import type { Vma } from './vma.ts';

/**
 * Make pages fault for good without a VMA of their own (MADV_GUARD_INSTALL, 6.13): what is there is dropped with CLEAR,
 * then every entry becomes a guard marker, which needs page tables. Accesses get SIGSEGV, a device -EFAULT. Markers
 * survive MADV_DONTNEED and are copied by fork. Holds the mmap lock for reading; may sleep.
 *
 * @returns 0; -EINVAL for a bad range, before 6.13, or for a hugetlb, locked or special VMA; -ENOMEM without page
 * tables or when a part is not mapped.
 */
export function madviseGuardInstall(mm: Mm, startPage: number, pages: number): Task<Errno> {
  if (!mm.machine.profile.hmm.guardRegions) return done(-EINVAL);
  return madviseWalkVmas(mm, startPage, pages, function* (vma, from, to) {
    if (!mayGuard(vma)) return -EINVAL;
    if (hasPages(mm, from, to)) yield* zapVmaRange(mm, from, to);
    // Fork has to copy the markers.
    prepareAnonVma(mm, vma);
    return install(mm, from, to);
  });
}

/** Take guard markers away (MADV_GUARD_REMOVE); other entries stay. Errors as {@link madviseGuardInstall}. */
export function madviseGuardRemove(mm: Mm, startPage: number, pages: number): Task<Errno> {
  if (!mm.machine.profile.hmm.guardRegions) return done(-EINVAL);
  return madviseWalkVmas(mm, startPage, pages, (vma, from, to) => {
    if (!mayGuard(vma)) return done(-EINVAL);
    for (let page = from; page < to; page++) {
      const node = mm.pageTable.nodeOf(page);
      if (node === null || !isMarker(node, page & 511, MARKER_GUARD)) continue;
      node.bits[page & 511] = 0;
      node.used--;
    }
    return done(0);
  });
}

function mayGuard(vma: Vma): boolean {
  return !vma.hugetlb && !vma.locked && !vma.special;
}

function hasPages(mm: Mm, startPage: number, endPage: number): boolean {
  for (let page = startPage; page < endPage; page++) {
    const node = mm.pageTable.nodeOf(page);
    if (node === null) continue;
    if (node.huge !== 0) return true;
    if (node.bits[page & 511] !== 0 && !isMarker(node, page & 511, MARKER_GUARD)) return true;
  }
  return false;
}

function install(mm: Mm, startPage: number, endPage: number): Errno {
  for (let page = startPage; page < endPage; page++) {
    let node = mm.pageTable.nodeOf(page);
    if (node === null) {
      if (mm.folios.pteTableSite.shouldFail()) return -ENOMEM;
      node = mm.pageTable.makeTable(Math.floor(page / 512));
    }
    const slot = page & 511;
    if (node.bits[slot] === 0) node.used++;
    node.bits[slot] = PTE_MARKER;
    node.pfn[slot] = MARKER_GUARD;
  }
  return 0;
}
