import type { Vma } from './vma.ts';

/** The VMAs of an address space, sorted and disjoint (the mm's maple tree). Search is O(log n). */
export class VmaTree {
  readonly #list: Vma[] = [];

  get size(): number {
    return this.#list.length;
  }

  /** Every VMA in order. */
  all(): readonly Vma[] {
    return this.#list;
  }

  /** Index of the first VMA that ends behind `page`. */
  indexOf(page: number): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (this.#list[mid]!.endPage > page) high = mid;
      else low = mid + 1;
    }
    return low;
  }

  /** First VMA that ends behind `page` (find_vma); it may begin behind it too. */
  find(page: number): Vma | null {
    return this.#list[this.indexOf(page)] ?? null;
  }

  /** The VMA that contains `page` (vma_lookup). */
  lookup(page: number): Vma | null {
    const vma = this.find(page);
    return vma !== null && vma.startPage <= page ? vma : null;
  }

  /** VMAs that overlap `[startPage, endPage)`, in order. */
  overlapping(startPage: number, endPage: number): Vma[] {
    const out: Vma[] = [];
    for (let i = this.indexOf(startPage); i < this.#list.length; i++) {
      const vma = this.#list[i]!;
      if (vma.startPage >= endPage) break;
      out.push(vma);
    }
    return out;
  }

  /** Add a VMA that overlaps none. */
  insert(vma: Vma): void {
    this.#list.splice(this.indexOf(vma.startPage), 0, vma);
  }

  remove(vma: Vma): void {
    this.#list.splice(this.#list.indexOf(vma), 1);
  }

  /** Merge neighbours around and inside `[startPage, endPage]` that were one before; returns those swallowed. */
  merge(startPage: number, endPage: number): Vma[] {
    const gone: Vma[] = [];
    let i = Math.max(this.indexOf(startPage) - 1, 0);
    while (i + 1 < this.#list.length && this.#list[i]!.startPage <= endPage) {
      const vma = this.#list[i]!;
      const next = this.#list[i + 1]!;
      if (!vma.mergesWith(next)) {
        i++;
        continue;
      }
      vma.endPage = next.endPage;
      vma.anonVma ||= next.anonVma;
      this.#list.splice(i + 1, 1);
      gone.push(next);
    }
    return gone;
  }
}
