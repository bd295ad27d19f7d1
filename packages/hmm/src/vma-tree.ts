import { anonVmaMerges } from './anon-vma.ts';
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

  /** The VMAs that touch this one. */
  neighbours(vma: Vma): { before: Vma | null; after: Vma | null } {
    const i = this.indexOf(vma.startPage);
    const before = this.#list[i - 1] ?? null;
    const after = this.#list[i + 1] ?? null;
    return {
      before: before?.endPage === vma.startPage ? before : null,
      after: after?.startPage === vma.endPage ? after : null,
    };
  }

  /**
   * Merge a VMA that was changed with its neighbours (vma_merge_existing_range); returns those swallowed.
   *
   * @param intoEmpty - see `anonVmaMerges`.
   */
  merge(changed: Vma, intoEmpty: boolean): Vma[] {
    const { before, after } = this.neighbours(changed);
    const left = before?.mergesWith(changed) === true && anonVmaMerges(before, changed, intoEmpty);
    let right = after !== null && changed.mergesWith(after) && anonVmaMerges(after, changed, intoEmpty);
    // Both neighbours must get on with each other too, or else the right one stays.
    if (left && right && before.anonVma !== null && after!.anonVma !== null)
      right = before.anonVma === after!.anonVma;
    const gone: Vma[] = [];
    if (right) gone.push(this.#swallow(changed, after!));
    if (left) gone.push(this.#swallow(before, changed));
    return gone;
  }

  #swallow(vma: Vma, next: Vma): Vma {
    this.remove(next);
    vma.endPage = next.endPage;
    if (vma.anonVma === null) {
      vma.anonVma = next.anonVma;
      vma.forkChild = next.forkChild;
    }
    return next;
  }
}
