import {
  HMM_PFN_ERROR,
  HMM_PFN_ORDER_SHIFT,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_STICKY,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from './hmm-pfns.ts';
import type { Mm } from './mm.ts';
import type { PmdNode } from './page-table.ts';
import {
  MARKER_UFFD_WP,
  PTE_DEVICE,
  PTE_KIND,
  PTE_MARKER,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  PTE_ZERO,
} from './pte.ts';
import type { HmmRange } from './range-fault.ts';

/** How a step ended: go on, all done, fault `[page, faultEnd)` and go on, or give up. */
export type WalkState = 'more' | 'done' | 'fault' | 'efault';

const NEED_FAULT = 1;
const NEED_WRITE = 2;
const REQUESTS = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
/** Result flags of a present or zero page by entry bits; 0 for every other entry (pte_to_hmm_pfn_flags). */
const VALID_AND_WRITE: Uint8Array = Uint8Array.from({ length: 256 }, (_, entry) => {
  if (!isMapped(entry) || (entry & PTE_PROTNONE) !== 0) return 0;
  return HMM_PFN_VALID | ((entry & PTE_WRITE) === 0 ? 0 : HMM_PFN_WRITE);
});
const PMD_ORDER_BITS = 9 << HMM_PFN_ORDER_SHIFT;

/**
 * The page-table walk of hmm_range_fault: a step covers at most one PMD and only records what has to be faulted, as
 * in 7.3, where faults run after the walk has unwound. Entries below `page` are results, the others still requests.
 */
export class RangeWalk {
  /** Where the next step, or the fault, begins. */
  page: number;
  faultEnd = 0;
  faultWrite = false;
  readonly #mm: Mm;
  readonly #range: HmmRange;
  readonly #pfn: Float64Array;
  readonly #flags: Uint16Array;
  readonly #faultsOwn: boolean;

  constructor(mm: Mm, range: HmmRange) {
    this.#mm = mm;
    this.#range = range;
    this.#pfn = range.pfns.pfn;
    this.#flags = range.pfns.flags;
    this.page = range.startPage;
    this.#faultsOwn = mm.machine.profile.hmm.ownPageWrite === 'faulted';
  }

  /** Walk on, at most to the end of one PMD or of a VMA. Does not sleep. */
  step(): WalkState {
    const end = this.#range.endPage;
    if (this.page >= end) return 'done';
    const vma = this.#mm.vmas.find(this.page);
    if (vma === null || vma.startPage > this.page) {
      return this.#refuse(vma === null ? end : Math.min(vma.startPage, end));
    }
    if (vma.io || !vma.read) return this.#refuse(Math.min(vma.endPage, end));
    const index = Math.floor(this.page / 512);
    const stop = Math.min(vma.endPage, end, (index + 1) * 512);
    const node = this.#mm.pageTable.lookup(index);
    if (vma.hugetlb) return this.#hugetlb(node, stop);
    if (node === null) return this.#hole(stop);
    return node.huge === 0 ? this.#table(node, stop) : this.#leaf(node, stop);
  }

  /** No VMA, I/O memory, or PROT_NONE: -EFAULT if anything is wanted, else ERROR. */
  #refuse(stop: number): WalkState {
    if (this.#need(stop, 0) !== 0) return 'efault';
    return this.#fill(stop, -1, HMM_PFN_ERROR);
  }

  #hole(stop: number): WalkState {
    const need = this.#need(stop, 0);
    if (need !== 0) return this.#fault(stop, need);
    return this.#fill(stop, -1, 0);
  }

  /** hmm_vma_walk_hugetlb_entry: the first page's request decides, and the order is set even where nothing is. */
  #hugetlb(node: PmdNode | null, stop: number): WalkState {
    const bits = node === null ? 0 : node.huge;
    const present = (bits & PTE_KIND) === PTE_PRESENT;
    const cpu = present ? HMM_PFN_VALID | ((bits & PTE_WRITE) !== 0 ? HMM_PFN_WRITE : 0) : 0;
    const need = this.#need(this.page + 1, cpu);
    if (need !== 0) return this.#fault(stop, need);
    const pfn = present ? node!.hugePfn + (this.page & 511) : -1;
    return this.#fill(stop, pfn, cpu | PMD_ORDER_BITS);
  }

  #leaf(node: PmdNode, stop: number): WalkState {
    const bits = node.huge;
    const kind = bits & PTE_KIND;
    const pfn = node.hugePfn + (this.page & 511);
    const write = (bits & PTE_WRITE) !== 0 ? HMM_PFN_WRITE : 0;
    if (kind === PTE_PRESENT || kind === PTE_ZERO) {
      const protnone = (bits & PTE_PROTNONE) !== 0;
      const cpu = protnone ? 0 : HMM_PFN_VALID | write;
      const need = this.#need(stop, cpu);
      if (need !== 0) return this.#fault(stop, need);
      return this.#fill(stop, pfn, protnone ? 0 : cpu | PMD_ORDER_BITS);
    }
    if (kind === PTE_DEVICE && this.#isOwn(node.hugePfn)) {
      const own = HMM_PFN_VALID | write;
      const wanted = this.#faultsOwn ? this.#need(stop, own) : 0;
      if (wanted !== 0) return this.#fault(stop, wanted);
      return this.#fill(stop, pfn, own | PMD_ORDER_BITS);
    }
    const need = this.#need(stop, 0);
    if (need !== 0) return this.#fault(stop, need);
    return this.#fill(stop, -1, kind === PTE_MIGRATION ? 0 : HMM_PFN_ERROR);
  }

  /** hmm_vma_handle_pte for a run of entries. */
  #table(node: PmdNode, stop: number): WalkState {
    const { pfnFlagsMask: mask, defaultFlags: defaults, startPage } = this.#range;
    const { bits, pfn } = node;
    const out = this.#pfn;
    const flags = this.#flags;
    const to = (stop - node.startPage) | 0;
    let slot = (this.page - node.startPage) | 0;
    let i = (this.page - startPage) | 0;
    const wants = ((mask | defaults) & HMM_PFN_REQ_FAULT) !== 0;
    for (; slot < to; slot++, i++) {
      const entry = bits[slot]!;
      const old = flags[i]!;
      const mapped = VALID_AND_WRITE[entry]!;
      if (mapped !== 0 && (!wants || (((old & mask) | defaults) & ~mapped & REQUESTS) === 0)) {
        out[i] = pfn[slot]!;
        flags[i] = (old & HMM_PFN_STICKY) | mapped;
        continue;
      }
      let cpu = mapped;
      let frame = pfn[slot]!;
      const own = cpu === 0 && (entry & PTE_KIND) === PTE_DEVICE && this.#isOwn(frame);
      if (own) cpu = HMM_PFN_VALID | ((entry & PTE_WRITE) >> 3);
      // An own page never faults, even if a write was asked for and the entry is read-only (finding F1).
      if (!own || this.#faultsOwn) {
        const request = (old & mask) | defaults;
        if ((request & HMM_PFN_REQ_FAULT) !== 0 && (request & ~cpu & REQUESTS) !== 0) {
          this.page = node.startPage + slot;
          if ((entry & PTE_KIND) === PTE_MARKER && frame !== MARKER_UFFD_WP) return 'efault';
          return this.#fault(
            stop,
            (request & HMM_PFN_REQ_WRITE) !== 0 ? NEED_FAULT | NEED_WRITE : NEED_FAULT,
          );
        }
        if (!own && cpu === 0 && !isMapped(entry)) frame = -1;
      }
      out[i] = frame;
      flags[i] = (old & HMM_PFN_STICKY) | cpu;
    }
    this.page = stop;
    return 'more';
  }

  #isOwn(pfn: number): boolean {
    const pagemap = this.#mm.folios.pagemapOf(pfn);
    return pagemap !== null && pagemap.owner === this.#range.devPrivateOwner;
  }

  /** hmm_range_need_fault over `[page, stop)` for entries that all have the CPU flags `cpu`. */
  #need(stop: number, cpu: number): number {
    const { startPage, pfnFlagsMask, defaultFlags } = this.#range;
    let need = 0;
    if (((pfnFlagsMask | defaultFlags) & HMM_PFN_REQ_FAULT) === 0) return 0;
    for (let i = this.page - startPage, end = stop - startPage; i < end; i++) {
      const request = (this.#flags[i]! & pfnFlagsMask) | defaultFlags;
      if ((request & HMM_PFN_REQ_FAULT) === 0) continue;
      if ((request & HMM_PFN_REQ_WRITE) !== 0 && (cpu & HMM_PFN_WRITE) === 0) return NEED_FAULT | NEED_WRITE;
      if ((cpu & HMM_PFN_VALID) === 0) need = NEED_FAULT;
      if (pfnFlagsMask === 0) break;
    }
    return need;
  }

  #fault(stop: number, need: number): WalkState {
    this.faultEnd = stop;
    this.faultWrite = (need & NEED_WRITE) !== 0;
    return 'fault';
  }

  /** Write `[page, stop)`: consecutive pfns, or none for -1. */
  #fill(stop: number, pfn: number, cpu: number): WalkState {
    const from = this.page - this.#range.startPage;
    const to = stop - this.#range.startPage;
    const flags = this.#flags;
    if (pfn < 0) this.#pfn.fill(-1, from, to);
    else for (let i = from; i < to; i++) this.#pfn[i] = pfn + (i - from);
    for (let i = from; i < to; i++) flags[i] = (flags[i]! & HMM_PFN_STICKY) | cpu;
    this.page = stop;
    return 'more';
  }
}

/** Present and zero pages report a pfn even where PROT_NONE keeps them from being valid. */
function isMapped(entry: number): boolean {
  const kind = entry & PTE_KIND;
  return kind === PTE_PRESENT || kind === PTE_ZERO;
}
