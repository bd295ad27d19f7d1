import { HPAGE_PMD_NR, type Pfn } from '@gpusvm/kernel';
import { PTE_DEVICE, PTE_EXCLUSIVE, PTE_KIND, PTE_MIGRATION, PTE_PRESENT } from './pte.ts';

const PFN_NONE: Uint32Array = new Uint32Array(0);
const BITS_NONE: Uint8Array = new Uint8Array(0);
const PMDS_PER_PUD = 512;
const PUDS_PER_P4D = 512;
/** PMDs below one top-level entry. */
const TOP = PMDS_PER_PUD * PUDS_PER_P4D;
const POOL = 64;

/**
 * One populated PMD entry: 2 MiB of address space. Either a leaf (`huge` holds the entry bits) or a table of
 * 512 entries in two typed arrays.
 */
export class PmdNode {
  /** Virtual page number divided by 512. */
  readonly index: number;
  /** First virtual page. */
  readonly startPage: number;
  /** Entry bits of a PMD leaf, 0 for a page table. */
  huge = 0;
  hugePfn: Pfn = 0;
  pfn: Uint32Array = PFN_NONE;
  bits: Uint8Array = BITS_NONE;
  /** Entries that are not none; 512 or so for a leaf is not counted. */
  used = 0;

  constructor(index: number) {
    this.index = index;
    this.startPage = index * HPAGE_PMD_NR;
  }
}

interface PudTable {
  readonly nodes: (PmdNode | null)[];
  used: number;
}

interface P4dTable {
  readonly puds: (PudTable | null)[];
  used: number;
}

/**
 * CPU page table: a radix tree down to {@link PmdNode}. A node exists exactly where the kernel's PMD entry is
 * not none, so a sparse address space costs what is populated.
 */
export class PageTable {
  readonly #top = new Map<number, P4dTable>();
  #sortedTop: number[] = [];
  #lastIndex = -1;
  #last: PmdNode | null = null;
  readonly #pool: { pfn: Uint32Array; bits: Uint8Array }[] = [];
  /** Tables that were ever allocated. */
  #tables = 0;
  /** Populated PMD entries. */
  nodeCount = 0;

  /** The node of a PMD index, null when the entry is none. */
  lookup(index: number): PmdNode | null {
    if (index === this.#lastIndex) return this.#last;
    const pud = this.#pud(index);
    const node = pud === null ? null : pud.nodes[index & (PMDS_PER_PUD - 1)]!;
    this.#lastIndex = index;
    this.#last = node;
    return node;
  }

  /** The node that contains a virtual page, null when its PMD entry is none. */
  nodeOf(page: number): PmdNode | null {
    return this.lookup(Math.floor(page / HPAGE_PMD_NR));
  }

  /** First node with `from <= index < to`, null when there is none. Cost: three levels, empty parts skipped. */
  next(from: number, to: number): PmdNode | null {
    let index = from;
    while (index < to) {
      const top = Math.floor(index / TOP);
      const table = this.#top.get(top);
      if (table === undefined) {
        const nextTop = this.#sortedTop.find((t) => t > top);
        if (nextTop === undefined) return null;
        index = nextTop * TOP;
        continue;
      }
      const inTop = index - top * TOP;
      const found = nextInTable(table, inTop, Math.min(to - top * TOP, TOP));
      if (found !== null) return found;
      index = (top + 1) * TOP;
    }
    return null;
  }

  /** The node, made with an empty page table when the entry was none. */
  makeTable(index: number): PmdNode {
    const known = this.lookup(index);
    if (known !== null) return known;
    const node = this.#insert(index);
    this.#takeArrays(node);
    return node;
  }

  /** A new leaf at an entry that was none. */
  makeHuge(index: number, bits: number, pfn: Pfn): PmdNode {
    const node = this.#insert(index);
    node.huge = bits;
    node.hugePfn = pfn;
    return node;
  }

  /** Turn a leaf into a page table of 512 entries with the same bits and consecutive pfns. */
  splitLeaf(node: PmdNode, pfnStep: 0 | 1): void {
    this.#takeArrays(node);
    node.bits.fill(node.huge);
    for (let i = 0; i < HPAGE_PMD_NR; i++) node.pfn[i] = node.hugePfn + i * pfnStep;
    node.huge = 0;
    node.used = HPAGE_PMD_NR;
  }

  /** Make the PMD entry none. The caller has dropped what the entries held. */
  remove(node: PmdNode): void {
    const top = Math.floor(node.index / TOP);
    const table = this.#top.get(top)!;
    const pudSlot = Math.floor((node.index - top * TOP) / PMDS_PER_PUD);
    const pud = table.puds[pudSlot]!;
    pud.nodes[node.index & (PMDS_PER_PUD - 1)] = null;
    if (node.bits.length !== 0 && this.#pool.length < POOL) {
      this.#pool.push({ pfn: node.pfn, bits: node.bits.fill(0) });
    }
    node.huge = 0;
    node.pfn = PFN_NONE;
    node.bits = BITS_NONE;
    node.used = 0;
    this.nodeCount--;
    this.#lastIndex = -1;
    if (--pud.used > 0) return;
    table.puds[pudSlot] = null;
    if (--table.used > 0) return;
    this.#top.delete(top);
    this.#sortedTop = this.#sortedTop.filter((t) => t !== top);
  }

  /** Move a node with all its entries to a PMD index whose entry is none. */
  move(node: PmdNode, index: number): PmdNode {
    const { huge, hugePfn, pfn, bits, used } = node;
    node.bits = BITS_NONE;
    this.remove(node);
    const moved = this.#insert(index);
    moved.huge = huge;
    moved.hugePfn = hugePfn;
    moved.pfn = pfn;
    moved.bits = bits;
    moved.used = used;
    return moved;
  }

  /** Whether an entry at `base .. base + 2^order` refers to the folio, a migration entry included. */
  refersTo(base: number, head: Pfn, order: number): boolean {
    const pages = 2 ** order;
    const end = base + pages;
    let page = Math.max(base, 0);
    while (page < end) {
      const node = this.nodeOf(page);
      const nodeEnd = (Math.floor(page / HPAGE_PMD_NR) + 1) * HPAGE_PMD_NR;
      const stop = Math.min(end, nodeEnd);
      if (node !== null) {
        for (; page < stop; page++) {
          const slot = page & (HPAGE_PMD_NR - 1);
          const bits = node.huge === 0 ? node.bits[slot]! : node.huge;
          const pfn = node.huge === 0 ? node.pfn[slot]! : node.hugePfn + slot;
          if (hasPfn(bits) && pfn - head === page - base) return true;
        }
      }
      page = stop;
    }
    return false;
  }

  #pud(index: number): PudTable | null {
    const top = Math.floor(index / TOP);
    const table = this.#top.get(top);
    return table === undefined ? null : table.puds[Math.floor((index - top * TOP) / PMDS_PER_PUD)]!;
  }

  #insert(index: number): PmdNode {
    const top = Math.floor(index / TOP);
    let table = this.#top.get(top);
    if (table === undefined) {
      table = { puds: Array<PudTable | null>(PUDS_PER_P4D).fill(null), used: 0 };
      this.#top.set(top, table);
      this.#sortedTop = [...this.#top.keys()].sort((a, b) => a - b);
    }
    const pudSlot = Math.floor((index - top * TOP) / PMDS_PER_PUD);
    let pud = table.puds[pudSlot]!;
    if (pud === null) {
      pud = { nodes: Array<PmdNode | null>(PMDS_PER_PUD).fill(null), used: 0 };
      table.puds[pudSlot] = pud;
      table.used++;
    }
    const node = new PmdNode(index);
    pud.nodes[index & (PMDS_PER_PUD - 1)] = node;
    pud.used++;
    this.nodeCount++;
    this.#lastIndex = index;
    this.#last = node;
    return node;
  }

  /** Tables for as many nodes as there are tables now, at most 64, in two allocations: many small ones are slow. */
  #growPool(): void {
    const tables = Math.min(Math.max(this.#tables, 1), POOL);
    const pfn = new Uint32Array(tables * HPAGE_PMD_NR);
    const bits = new Uint8Array(tables * HPAGE_PMD_NR);
    for (let i = tables - 1; i >= 0; i--) {
      const from = i * HPAGE_PMD_NR;
      const to = from + HPAGE_PMD_NR;
      this.#pool.push({ pfn: pfn.subarray(from, to), bits: bits.subarray(from, to) });
    }
    this.#tables += tables;
  }

  #takeArrays(node: PmdNode): void {
    let pooled = this.#pool.pop();
    if (pooled === undefined) {
      this.#growPool();
      pooled = this.#pool.pop()!;
    }
    node.pfn = pooled.pfn;
    node.bits = pooled.bits;
  }
}

function hasPfn(bits: number): boolean {
  const kind = bits & PTE_KIND;
  return kind === PTE_PRESENT || kind === PTE_DEVICE || kind === PTE_MIGRATION || kind === PTE_EXCLUSIVE;
}

function nextInTable(table: P4dTable, from: number, to: number): PmdNode | null {
  let index = from;
  while (index < to) {
    const pudSlot = Math.floor(index / PMDS_PER_PUD);
    const pud = table.puds[pudSlot]!;
    const pudEnd = (pudSlot + 1) * PMDS_PER_PUD;
    if (pud !== null) {
      const stop = Math.min(to, pudEnd);
      for (; index < stop; index++) {
        const node = pud.nodes[index & (PMDS_PER_PUD - 1)]!;
        if (node !== null) return node;
      }
    }
    index = pudEnd;
  }
  return null;
}
