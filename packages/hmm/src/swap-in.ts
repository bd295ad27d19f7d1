import { type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { SWAP_IN } from './counters.ts';
import { FOLIO_ANON, FOLIO_SWAPCACHE } from './folio-flags.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import {
  PTE_ANON_EXCLUSIVE,
  PTE_DIRTY,
  PTE_KIND,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SWAP,
  PTE_WRITE,
} from './pte.ts';
import { MM_SWAP } from './tracepoints.ts';
import { lockOrRetry } from './lock-or-retry.ts';
import { VM_FAULT_OOM, VM_FAULT_RETRY } from './vm-fault.ts';
import type { Vma } from './vma.ts';

const READ: SchedPoint = schedPoint('do_swap_page: read');

/**
 * The swap part of do_swap_page: find the page in the swap cache or read it in, lock it, and map it if the entry is
 * still the same. A page that belongs to the entry alone becomes writable at once, also by a read. The cache entry
 * stays after a read and goes after a write, as the kernel's heuristic has it. May sleep.
 *
 * @returns 0, also when the entry has changed meanwhile, VM_FAULT_OOM or VM_FAULT_RETRY.
 */
export function* swapIn(mm: Mm, vma: Vma, page: number, write: boolean, mayDrop: boolean): Task<number> {
  const { folios } = mm;
  const { swap } = folios;
  const slot = swapSlotAt(mm, page);
  if (slot < 0) return 0;
  let pfn = swap.cached(slot);
  if (pfn < 0) {
    pfn = folios.allocFolio(0);
    if (pfn < 0) return VM_FAULT_OOM;
    folios.flags[pfn]! |= FOLIO_ANON;
    folios.writeTag(pfn, swap.readTag(slot));
    swap.addCache(pfn, slot);
    folios.counters.values[SWAP_IN]!++;
    const point = mm.machine.trace.point(MM_SWAP);
    if (point.enabled) point.emit({ direction: 'in', pfn, pages: 1, slot });
    folios.trylock(pfn);
    if (mm.machine.scheduler.preemptive) yield READ;
  } else {
    const head = folios.head(pfn);
    folios.get(head);
    if (!(yield* lockOrRetry(mm, head, mayDrop))) return VM_FAULT_RETRY;
  }
  const head = folios.head(pfn);
  // The folio may have left the cache, and the entry may be gone, while we slept.
  if (swap.cached(slot) === pfn && swapSlotAt(mm, page) === slot) mapSwapped(mm, vma, page, pfn, slot, write);
  folios.unlock(head);
  if ((folios.flags[head]! & FOLIO_SWAPCACHE) !== 0 && folios.maps[head] === 0) swap.tryFreeCache(head);
  folios.put(head);
  return 0;
}

function swapSlotAt(mm: Mm, page: number): number {
  const node = mm.pageTable.nodeOf(page);
  if (node === null || node.huge !== 0) return -1;
  const i = page & 511;
  return (node.bits[i]! & PTE_KIND) === PTE_SWAP ? node.pfn[i]! : -1;
}

function mapSwapped(mm: Mm, vma: Vma, page: number, pfn: Pfn, slot: number, write: boolean): void {
  const { folios } = mm;
  const { swap } = folios;
  const head = folios.head(pfn);
  const node = mm.pageTable.nodeOf(page)!;
  const pages = 2 ** folios.order(head);
  const whole = pages > 1 && isWhole(vma, node, page - (pfn - head), slot - (pfn - head), pages);
  const first = whole ? page - (pfn - head) : page;
  const count = whole ? pages : 1;
  const bits = node.bits[page & 511]!;
  for (let i = 0; i < count; i++) {
    map(mm, node, first + i, pfn - (page - first) + i);
    swap.free(slot - (page - first) + i);
  }
  // should_try_to_free_swap: a writer that is alone with the page has no use for the slot.
  if (write && folios.refs[head] === 1 + count + pages) swap.freeCache(head);
  const exclusive = (bits & PTE_ANON_EXCLUSIVE) !== 0 || folios.refs[head] === 1 + count;
  let entry = PTE_PRESENT | (vma.read ? 0 : PTE_PROTNONE);
  if (exclusive) entry |= PTE_ANON_EXCLUSIVE;
  if (exclusive && vma.write) entry |= PTE_WRITE | (write ? PTE_DIRTY : 0);
  node.bits.fill(entry, first & 511, (first & 511) + count);
}

/** Whether the 512 or so entries around a fault are still those of a cached large folio, which then comes back whole. */
function isWhole(vma: Vma, node: PmdNode, first: number, slot: number, pages: number): boolean {
  if (first < Math.max(node.startPage, vma.startPage)) return false;
  if (first + pages > Math.min(node.startPage + 512, vma.endPage)) return false;
  const entry = node.bits[first & 511]!;
  for (let i = 0; i < pages; i++) {
    const at = (first & 511) + i;
    if (node.bits[at] !== entry || node.pfn[at] !== slot + i) return false;
  }
  return (entry & PTE_KIND) === PTE_SWAP;
}

/** The reference and the map count of the new entry. */
function map(mm: Mm, node: PmdNode, page: number, pfn: Pfn): void {
  const { folios } = mm;
  const head = folios.head(pfn);
  node.pfn[page & 511] = pfn;
  folios.refs[head]!++;
  folios.maps[head]!++;
  folios.rmap.add(head, folios.orders[head]!, mm.id, page - (pfn - head));
}
