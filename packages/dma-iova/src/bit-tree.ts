/**
 * A set of integers `[0, size)` as a 32-way tree of bit words: membership, insert and remove in O(1) amortised,
 * the smallest member in O(log32 size). About 1.03 bits a possible member.
 */
export class BitTree {
  /** Bottom level first. A bit of a level is set iff the word below it is not zero. */
  readonly #levels: Int32Array[] = [];

  constructor(size: number) {
    let words = Math.max(1, Math.ceil(size / 32));
    for (;;) {
      this.#levels.push(new Int32Array(words));
      if (words === 1) break;
      words = Math.ceil(words / 32);
    }
  }

  /** Whether `i` is a member. */
  has(i: number): boolean {
    const bottom = this.#levels[0]!;
    const word = i >>> 5;
    return word < bottom.length && (bottom[word]! & (1 << (i & 31))) !== 0;
  }

  /** Make `i` a member. */
  add(i: number): void {
    let bit = i;
    for (const level of this.#levels) {
      const word = bit >>> 5;
      const before = level[word]!;
      level[word] = before | (1 << (bit & 31));
      if (before !== 0) return;
      bit = word;
    }
  }

  /** Make `i` not a member. */
  delete(i: number): void {
    let bit = i;
    for (const level of this.#levels) {
      const word = bit >>> 5;
      const after = level[word]! & ~(1 << (bit & 31));
      level[word] = after;
      if (after !== 0) return;
      bit = word;
    }
  }

  /** The smallest member, or -1. */
  first(): number {
    let at = 0;
    for (let l = this.#levels.length - 1; l >= 0; l--) {
      const word = this.#levels[l]![at]!;
      if (word === 0) return -1;
      at = at * 32 + (31 - Math.clz32(word & -word));
    }
    return at;
  }
}
