import { EADDRINUSE, EEXIST, EINVAL, ENXIO, type Errno } from '@gpusvm/kernel';
import type { DomainRules } from './domain-rules.ts';

interface Leaf {
  readonly page: number;
  readonly pfn: number;
  readonly pages: number;
}

/**
 * Reference for IO page tables: a Map from page to the leaf that covers it, every rule spelled out page by page.
 * Slow and obvious on purpose.
 */
export class NaivePageTable {
  readonly #format: DomainRules;
  readonly #leafAt = new Map<number, Leaf>();
  /** 2 MiB regions with a lowest-level table, for formats that treat holes inside of one differently. */
  readonly #tables = new Set<number>();

  constructor(format: DomainRules) {
    this.#format = format;
  }

  get mappedPages(): number {
    return this.#leafAt.size;
  }

  translate(page: number): number {
    const leaf = this.#leafAt.get(page);
    return leaf === undefined ? -1 : leaf.pfn + (page - leaf.page);
  }

  map(page: number, pfn: number, pages: number): Errno {
    const granule = 2 ** this.#format.granuleOrder;
    if (page % granule !== 0 || pfn % granule !== 0 || pages % granule !== 0) {
      return this.#format.unaligned === 'enxio' ? -ENXIO : -EINVAL;
    }
    const added: Leaf[] = [];
    for (let done = 0; done < pages; ) {
      const order = this.#best(page + done, pfn + done, pages - done);
      const size = this.#format.areas === true ? pages : 2 ** order;
      const leaf: Leaf = { page: page + done, pfn: pfn + done, pages: size };
      for (let i = 0; i < leaf.pages; i++) {
        if (!this.#leafAt.has(leaf.page + i)) continue;
        for (const undo of added) this.#remove(undo);
        return this.#format.occupied === 'eaddrinuse' ? -EADDRINUSE : -EEXIST;
      }
      for (let i = 0; i < leaf.pages; i++) this.#leafAt.set(leaf.page + i, leaf);
      this.#noteTables(leaf, order);
      added.push(leaf);
      done += leaf.pages;
    }
    return 0;
  }

  unmap(page: number, pages: number): number {
    const granule = 2 ** this.#format.granuleOrder;
    if (page % granule !== 0 || pages % granule !== 0) return 0;
    const { hole, returns, startInsideLeaf, endInsideLeaf } = this.#format.unmap;
    const end = page + pages;
    let at = page;
    let mapped = 0;
    while (at < end) {
      const leaf = this.#leafAt.get(at);
      if (leaf === undefined) {
        const counts = hole === 'count' && this.#tables.has(Math.floor(at / 512));
        if (hole !== 'skip' && !counts) break;
        at++;
        continue;
      }
      if (leaf.page !== at && startInsideLeaf === 'refuse') break;
      if (leaf.page + leaf.pages > end && endInsideLeaf === 'refuse') break;
      this.#remove(leaf);
      mapped += leaf.pages;
      at = leaf.page + leaf.pages;
    }
    if (returns === 'mapped') return mapped;
    return returns === 'requested' ? pages : at - page;
  }

  /** Returns cleared pages, holes, first hole. */
  unmapHoles(page: number, pages: number): readonly [number, number, number] {
    const end = page + pages;
    let cleared = 0;
    let holes = 0;
    let first = -1;
    let inHole = false;
    for (let at = page; at < end; ) {
      const leaf = this.#leafAt.get(at);
      if (leaf === undefined) {
        if (!inHole) holes++;
        if (first < 0) first = at;
        inHole = true;
        at++;
        continue;
      }
      inHole = false;
      at = leaf.page + leaf.pages;
      if (leaf.page < page || at > end) continue;
      this.#remove(leaf);
      cleared += leaf.pages;
    }
    for (let region = Math.ceil(page / 512); (region + 1) * 512 <= end; region++) this.#tables.delete(region);
    return [cleared, holes, first];
  }

  /** Biggest leaf: fits what remains, both sides aligned. */
  #best(page: number, pfn: number, remaining: number): number {
    let best = 0;
    for (const order of this.#format.leafOrders) {
      const size = 2 ** order;
      if (size <= remaining && page % size === 0 && pfn % size === 0) best = order;
    }
    return best;
  }

  #noteTables(leaf: Leaf, order: number): void {
    if (order < 9) {
      this.#tables.add(Math.floor(leaf.page / 512));
      return;
    }
    for (let at = leaf.page; at < leaf.page + leaf.pages; at += 512) this.#tables.delete(at / 512);
  }

  #remove(leaf: Leaf): void {
    for (let i = 0; i < leaf.pages; i++) this.#leafAt.delete(leaf.page + i);
  }
}
