import { larger } from './larger.ts';

/** Cleared entries of one address space whose invalidation is still to come, as a few ranges of pages. */
export class PendingInvalidations {
  #first: Float64Array = new Float64Array(8);
  #end: Float64Array = new Float64Array(8);
  /** Its invalidation has been due and left this part out: no later flush will be waited for. */
  #missed: Uint8Array = new Uint8Array(8);
  #count = 0;

  /** Ranges. */
  get length(): number {
    return this.#count;
  }

  /** Entries were cleared. */
  add(firstPage: number, pages: number): void {
    this.#push(firstPage, firstPage + pages, 0);
  }

  /**
   * A range was invalidated. What it leaves out of the newest range was missed: that unmap has had its invalidation.
   * Older ranges may still wait for a flush of the whole domain.
   *
   * @param fn - told which pages are clean now.
   */
  invalidate(firstPage: number, endPage: number, fn: (page: number, pages: number) => void): void {
    const newest = this.#count - 1;
    for (let i = newest; i >= 0; i--) {
      const first = this.#first[i]!;
      const end = this.#end[i]!;
      const from = Math.max(first, firstPage);
      const to = Math.min(end, endPage);
      if (from >= to) continue;
      const missed = i === newest ? 1 : this.#missed[i]!;
      fn(from, to - from);
      this.#remove(i);
      if (first < from) this.#push(first, from, missed);
      if (to < end) this.#push(to, end, missed);
    }
  }

  /** The invalidation of a range has been due: what of it is still pending was left out. */
  miss(firstPage: number, endPage: number): void {
    for (let i = this.#count - 1; i >= 0; i--) {
      const first = this.#first[i]!;
      const end = this.#end[i]!;
      const from = Math.max(first, firstPage);
      const to = Math.min(end, endPage);
      if (from >= to || this.#missed[i] === 1) continue;
      this.#remove(i);
      if (first < from) this.#push(first, from, 0);
      if (to < end) this.#push(to, end, 0);
      this.#push(from, to, 1);
    }
  }

  /** Whether this is the only range, and nothing of it was missed. */
  isOnly(firstPage: number, pages: number): boolean {
    return (
      this.#count === 1 &&
      this.#first[0] === firstPage &&
      this.#end[0] === firstPage + pages &&
      this.#missed[0] === 0
    );
  }

  /** Everything was invalidated, and nobody needs to be told. */
  forget(): void {
    this.#count = 0;
  }

  /** Everything was invalidated. */
  clear(fn: (page: number, pages: number) => void): void {
    const count = this.#count;
    this.#count = 0;
    for (let i = 0; i < count; i++) fn(this.#first[i]!, this.#end[i]! - this.#first[i]!);
  }

  /** Whether the invalidation of this page has been due and left it out. */
  isMissed(page: number): boolean {
    for (let i = 0; i < this.#count; i++)
      if (page >= this.#first[i]! && page < this.#end[i]!) return this.#missed[i] === 1;
    return false;
  }

  /** Visit the ranges. */
  forEach(fn: (firstPage: number, pages: number, missed: boolean) => void): void {
    for (let i = 0; i < this.#count; i++)
      fn(this.#first[i]!, this.#end[i]! - this.#first[i]!, this.#missed[i] === 1);
  }

  #push(first: number, end: number, missed: number): void {
    const i = this.#count++;
    if (i === this.#first.length) {
      this.#first = larger(this.#first, new Float64Array(i * 2));
      this.#end = larger(this.#end, new Float64Array(i * 2));
      this.#missed = larger(this.#missed, new Uint8Array(i * 2));
    }
    this.#first[i] = first;
    this.#end[i] = end;
    this.#missed[i] = missed;
  }

  /** Keeps the order, so that the newest stays last. */
  #remove(i: number): void {
    const last = --this.#count;
    if (i === last) return;
    this.#first.copyWithin(i, i + 1, last + 1);
    this.#end.copyWithin(i, i + 1, last + 1);
    this.#missed.copyWithin(i, i + 1, last + 1);
  }
}
