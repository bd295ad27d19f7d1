import { type Pfn, type SchedPoint, type Suspension, type Task, schedPoint } from '@gpusvm/kernel';
import { prepareAnonVma } from './anon-vma.ts';
import { CPU_FAULT_DEVICE } from './counters.ts';
import { FOLIO_ANON } from './folio-flags.ts';
import { mapPmd, splitPmdLeaf, unmapFolioPage } from './map-entry.ts';
import { FAULT_SLOW, mapNewAnonPmd, minorFault } from './minor-fault.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { PmdNode } from './page-table.ts';
import {
  MARKER_GUARD,
  MARKER_UFFD_WP,
  PTE_ANON_EXCLUSIVE,
  PTE_DEVICE,
  PTE_DIRTY,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_MARKER,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SWAP,
  PTE_WRITE,
  PTE_ZERO,
} from './pte.ts';
import { removeDeviceExclusive } from './exclusive-fault.ts';
import { splitHugePmd } from './split-pmd.ts';
import { swapIn } from './swap-in.ts';
import { handleUserfault } from './userfaultfd.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_FAULT_SIGSEGV } from './vm-fault.ts';
import type { Vma } from './vma.ts';

const FAULT: SchedPoint = schedPoint('handle_mm_fault');
const DEVICE: SchedPoint = schedPoint('dev_pagemap_ops.migrate_to_ram');

/** A fault that achieved nothing is taken again at once; this is what one round trip through the handler takes. */
const REFAULT: Suspension = Object.freeze({ kind: 'sleep', ns: 2000, poll: true });

/**
 * Handle one page fault (handle_mm_fault and below, mm/memory.c). The mmap lock is held for reading; may sleep. As in
 * the kernel, success means only that the access is worth another try.
 *
 * @param mm - the address space.
 * @param vma - the VMA that contains `page`.
 * @param page - virtual page.
 * @param write - whether the access writes.
 * @param mayDrop - the mmap lock may be dropped for a long wait (FAULT_FLAG_ALLOW_RETRY).
 * @returns 0 or VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_FAULT_SIGSEGV; VM_FAULT_RETRY when the mmap lock was dropped.
 */
export function* handleMmFault(
  mm: Mm,
  vma: Vma,
  page: number,
  write: boolean,
  mayDrop: boolean = false,
): Task<number> {
  if (mm.machine.scheduler.preemptive) yield FAULT;
  if (vma.io) return VM_FAULT_SIGBUS;
  if (write ? !vma.write : !vma.read) return VM_FAULT_SIGSEGV;
  if (vma.uffd !== null && mm.entryBits(page) === 0)
    return yield* handleUserfault(mm, vma.uffd, page, mayDrop);
  const quick = minorFault(mm, vma, page, write);
  if (quick !== FAULT_SLOW) return quick;
  const node = mm.pageTable.nodeOf(page)!;
  const bits = node.huge === 0 ? node.bits[page & 511]! : node.huge;
  switch (bits & PTE_KIND) {
    case PTE_DEVICE:
      return yield* devicePrivateFault(mm, vma, page, node);
    case PTE_SWAP:
      return yield* swapIn(mm, vma, page, write, mayDrop);
    case PTE_EXCLUSIVE:
      return yield* removeDeviceExclusive(mm, vma, page, mayDrop);
    case PTE_MARKER:
      return markerFault(mm, vma, page, node, write);
    case PTE_MIGRATION:
      return yield* migrationEntryWait(mm, node, page);
    default:
      if ((bits & PTE_PROTNONE) !== 0) return protnoneFault(node, page & 511);
      return yield* copyOnWrite(mm, vma, page, node);
  }
}

/** handle_pte_marker */
function markerFault(mm: Mm, vma: Vma, page: number, node: PmdNode, write: boolean): number {
  const marker = node.pfn[page & 511];
  if (marker === MARKER_GUARD) return VM_FAULT_SIGSEGV;
  if (marker !== MARKER_UFFD_WP) return VM_FAULT_SIGBUS;
  // Nobody write-protects any more: the entry is a hole.
  node.bits[page & 511] = 0;
  node.used--;
  return minorFault(mm, vma, page, write);
}

/** do_numa_page: the VMA allows the access by now, so the hint goes. */
function protnoneFault(node: PmdNode, slot: number): number {
  if (node.huge !== 0) node.huge &= ~PTE_PROTNONE;
  else node.bits[slot]! &= ~PTE_PROTNONE;
  return 0;
}

/** migration_entry_wait: until the migrator unlocks the folio. */
function* migrationEntryWait(mm: Mm, node: PmdNode, page: number): Task<number> {
  const pfn = node.huge === 0 ? node.pfn[page & 511]! : node.hugePfn;
  const head = mm.folios.head(pfn);
  if (!mm.folios.isLocked(head)) {
    throw new Error(`${mm.name} page ${page}: migration entry of pfn ${pfn}, which nobody migrates`);
  }
  yield* mm.folios.waitLocked(head);
  return 0;
}

/**
 * The part of do_swap_page and do_huge_pmd_device_private for device-private entries. Before 6.15 the kernel did not
 * take the folio lock here; the model does in every profile.
 */
function* devicePrivateFault(mm: Mm, vma: Vma, page: number, node: PmdNode): Task<number> {
  const folios = mm.folios;
  const pmd = node.huge !== 0;
  const pfn = pmd ? node.hugePfn : node.pfn[page & 511]!;
  const head = folios.head(pfn);
  if (!folios.trylock(head)) {
    if (!pmd && mm.machine.profile.hmm.cpuFaultBusyFolio === 'wait') yield* folios.waitLocked(head);
    else yield REFAULT;
    return 0;
  }
  folios.get(head);
  folios.counters.values[CPU_FAULT_DEVICE]!++;
  if (mm.machine.scheduler.preemptive) yield DEVICE;
  const ops = folios.pagemapOf(head)!.ops;
  const point = mm.folios.protocol.migrateToRam;
  if (point.enabled) point.emit({ phase: 'begin', folio: head });
  const code = yield* ops.migrateToRam({ mm, vma, page, folio: head, pmd });
  if (point.enabled) point.emit({ phase: 'end', folio: head });
  folios.unlock(head);
  folios.put(head);
  // The driver may decline, for instance inside its time slice; the CPU then faults again and again.
  if (code === 0 && (mm.entryBits(page) & PTE_KIND) === PTE_DEVICE) yield REFAULT;
  return code;
}

/**
 * @internal wp_page_copy, do_huge_zero_wp_pmd and the fallback of do_huge_pmd_wp_page. Sends CLEAR.
 *
 * @param unshare - the copy is for a reader and stays read-only (FAULT_FLAG_UNSHARE).
 */
export function* copyOnWrite(
  mm: Mm,
  vma: Vma,
  page: number,
  node: PmdNode,
  unshare: boolean = false,
): Task<number> {
  if (node.huge !== 0) return yield* copyOnWritePmd(mm, vma, page, node);
  if (mm.notifiers === null) return copyPage(mm, vma, node, page & 511, unshare);
  const range = mmuNotifierRange('CLEAR', page, page + 1);
  yield* mmuNotifierInvalidateRangeStart(mm, range);
  const now = mm.pageTable.nodeOf(page);
  const code = now === null || now.huge !== 0 ? 0 : copyPage(mm, vma, now, page & 511, unshare);
  yield* mmuNotifierInvalidateRangeEnd(mm, range);
  return code;
}

function* copyOnWritePmd(mm: Mm, vma: Vma, page: number, node: PmdNode): Task<number> {
  if (vma.hugetlb) return yield* copyHugetlb(mm, vma, node);
  const zero = (node.huge & PTE_KIND) === PTE_ZERO;
  if (!zero || !mm.machine.profile.hmm.deviceThp) {
    yield* splitHugePmd(mm, page);
    return 0;
  }
  const range = mmuNotifierRange('CLEAR', node.startPage, node.startPage + 512);
  yield* mmuNotifierInvalidateRangeStart(mm, range);
  const now = mm.pageTable.nodeOf(page);
  if (now !== null && (now.huge & PTE_KIND) === PTE_ZERO) {
    const huge = now.hugePfn;
    const bits = now.huge;
    const index = now.index;
    mm.pageTable.remove(now);
    // Without memory for a large folio: single zero pages, of which the faulting one is copied next time.
    if (!mapNewAnonPmd(mm, vma, index)) splitPmdLeaf(mm, mm.pageTable.makeHuge(index, bits, huge));
  }
  yield* mmuNotifierInvalidateRangeEnd(mm, range);
  return 0;
}

/** hugetlb_wp: a copy of the whole huge page, or SIGBUS when there is none. Sends CLEAR. */
function* copyHugetlb(mm: Mm, vma: Vma, node: PmdNode): Task<number> {
  const { folios } = mm;
  const { index, startPage, hugePfn } = node;
  const range = mmuNotifierRange('CLEAR', startPage, startPage + 512);
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeStart(mm, range);
  const now = mm.pageTable.lookup(index);
  let code = 0;
  if (now !== null && now.hugePfn === hugePfn && (now.huge & PTE_WRITE) === 0) {
    const bits = now.huge;
    // The old page keeps its last reference until it has been copied.
    folios.get(hugePfn);
    unmapFolioPage(folios, hugePfn);
    mm.pageTable.remove(now);
    if (mapNewAnonPmd(mm, vma, index)) {
      const copy = mm.pageTable.lookup(index)!.hugePfn;
      for (let i = 0; i < 512; i++) folios.writeTag(copy + i, folios.readTag(hugePfn + i));
    } else {
      mapPmd(mm, index, hugePfn, bits);
      code = VM_FAULT_SIGBUS;
    }
    folios.put(hugePfn);
  }
  if (mm.notifiers !== null) yield* mmuNotifierInvalidateRangeEnd(mm, range);
  return code;
}

/**
 * Give a read-only entry a page of its own with the same contents. Does not sleep.
 *
 * @returns 0, also when the entry has changed meanwhile, or VM_FAULT_OOM.
 */
function copyPage(mm: Mm, vma: Vma, node: PmdNode, slot: number, unshare: boolean): number {
  const bits = node.bits[slot]!;
  const kind = bits & PTE_KIND;
  if ((kind !== PTE_PRESENT && kind !== PTE_ZERO) || (bits & PTE_WRITE) !== 0) return 0;
  const folios = mm.folios;
  const old: Pfn = node.pfn[slot]!;
  const pfn = folios.allocFolio(0);
  if (pfn < 0) return VM_FAULT_OOM;
  folios.flags[pfn]! |= FOLIO_ANON;
  folios.maps[pfn] = 1;
  folios.rmap.add(pfn, 0, mm.id, node.startPage + slot);
  prepareAnonVma(mm, vma);
  node.pfn[slot] = pfn;
  node.bits[slot] = PTE_PRESENT | PTE_DIRTY | PTE_ANON_EXCLUSIVE | (unshare ? 0 : PTE_WRITE);
  if (kind === PTE_PRESENT) {
    folios.writeTag(pfn, folios.readTag(old));
    unmapFolioPage(folios, old);
  }
  return 0;
}
