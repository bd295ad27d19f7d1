/**
 * @internal An ordered set of small integers: a bitmap with summary levels of 32, so that the first member at or
 * behind a place is found in a few steps whatever the size. The free list of one order of the buddy allocator.
 */
export class FreeBlocks {
  /** Members. */
  count = 0;
  readonly #levels: Int32Array[] = [];

  /** @param size - members are below. */
  constructor(size: number) {
    let words = size;
    do {
      words = Math.ceil(words / 32);
      this.#levels.push(new Int32Array(Math.max(words, 1)));
    } while (words > 1);
  }

  has(i: number): boolean {
    return (this.#levels[0]![i >>> 5]! & (1 << (i & 31))) !== 0;
  }

  add(i: number): void {
    this.count++;
    for (const words of this.#levels) {
      const before = words[i >>> 5]!;
      words[i >>> 5] = before | (1 << (i & 31));
      if (before !== 0) return;
      i >>>= 5;
    }
  }

  delete(i: number): void {
    this.count--;
    for (const words of this.#levels) {
      const after = words[i >>> 5]! & ~(1 << (i & 31));
      words[i >>> 5] = after;
      if (after !== 0) return;
      i >>>= 5;
    }
  }

  /** First member at or behind `from`, -1 when there is none. */
  next(from: number): number {
    const levels = this.#levels;
    let level = 0;
    let at = from;
    for (;;) {
      const words = levels[level]!;
      const word = at >>> 5;
      if (word < words.length) {
        const bits = words[word]! & (-1 << (at & 31));
        if (bits !== 0) return this.#descend(level, word * 32 + ctz(bits), true);
      }
      if (++level === levels.length) return -1;
      at = word + 1;
    }
  }

  /** Last member, -1 when there is none. */
  last(): number {
    const top = this.#levels.length - 1;
    const bits = this.#levels[top]![0]!;
    return bits === 0 ? -1 : this.#descend(top, 31 - Math.clz32(bits), false);
  }

  #descend(level: number, at: number, first: boolean): number {
    while (level > 0) {
      const bits = this.#levels[--level]![at]!;
      at = at * 32 + (first ? ctz(bits) : 31 - Math.clz32(bits));
    }
    return at;
  }
}

function ctz(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
