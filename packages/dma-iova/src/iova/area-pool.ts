/** Pages of an area, log2. Smaller blocks live inside one area. */
export const AREA_ORDER: 12 = 12;
export const AREA_PAGES: 4096 = 4096;

/** Words of the free bitmap of each order, and where it starts in a record. */
const WORDS: readonly number[] = Array.from({ length: AREA_ORDER }, (_, k) => Math.max(1, 128 >> k));
const OFFSET: readonly number[] = WORDS.map((_, k) => WORDS.slice(0, k).reduce((sum, n) => sum + n, 0));
/** Bit k: there is a free block of order k. */
const ORDERS = 260;
/** What the tree was last told about the area. */
const TOLD = ORDERS + 1;
/** 1: no reservation of the area holds more than it asked for. */
const EXACT = TOLD + 1;
const COUNT = EXACT + 1;
/** Per order, bit k: word k of its free bitmap is not zero. */
const SUMMARY = COUNT + AREA_ORDER;
const SUMMARY_WORDS = 4;
const START = SUMMARY + SUMMARY_WORDS * AREA_ORDER;
const END = START + 128;
const RECORD = END + 128;

/**
 * Records of areas that are partly in use: free bitmaps by order, with counts, and two bitmaps that mark the first
 * and the last page of every reservation in the area. 2.3 KB an area, pooled in one typed array.
 */
export class AreaPool {
  #words: Int32Array = new Int32Array(RECORD * 4);
  /** Record 0 is not used: it means "none". */
  #used = 1;
  readonly #recycled: number[] = [];

  /** A zeroed record. */
  take(): number {
    const recycled = this.#recycled.pop();
    if (recycled !== undefined) return recycled;
    if ((this.#used + 1) * RECORD > this.#words.length) {
      const words = new Int32Array(Math.ceil((this.#words.length * 1.5) / RECORD) * RECORD);
      words.set(this.#words);
      this.#words = words;
    }
    return this.#used++ * RECORD;
  }

  /** Give a record back whose area is wholly free. */
  release(record: number): void {
    this.#words[record + EXACT] = 0;
    this.#recycled.push(record);
  }

  /** Largest free block of an area: its order plus one, 0 = none. */
  largest(record: number): number {
    return 32 - Math.clz32(this.#words[record + ORDERS]!);
  }

  /** What the tree knows about the area. */
  told(record: number): number {
    return this.#words[record + TOLD]!;
  }

  /** Note what the tree knows about the area. */
  tell(record: number, value: number): void {
    this.#words[record + TOLD] = value;
  }

  /** Whether reservations of the area hold just what they asked for, rather than a power of two. */
  isExact(record: number): boolean {
    return this.#words[record + EXACT] === 1;
  }

  setExact(record: number): void {
    this.#words[record + EXACT] = 1;
  }

  /** Smallest order of at least `order` with a free block. There is one. */
  smallestFrom(record: number, order: number): number {
    const orders = (this.#words[record + ORDERS]! >>> order) << order;
    return 31 - Math.clz32(orders & -orders);
  }

  isFree(record: number, order: number, index: number): boolean {
    return (this.#words[record + OFFSET[order]! + (index >>> 5)]! & (1 << (index & 31))) !== 0;
  }

  /** Mark a block free. */
  setFree(record: number, order: number, index: number): void {
    const words = this.#words;
    const word = index >>> 5;
    words[record + OFFSET[order]! + word]! |= 1 << (index & 31);
    words[record + SUMMARY + SUMMARY_WORDS * order + (word >>> 5)]! |= 1 << (word & 31);
    if (++words[record + COUNT + order]! === 1) words[record + ORDERS]! |= 1 << order;
  }

  /** Mark a free block taken. */
  clearFree(record: number, order: number, index: number): void {
    const words = this.#words;
    const word = index >>> 5;
    const left = words[record + OFFSET[order]! + word]! & ~(1 << (index & 31));
    words[record + OFFSET[order]! + word] = left;
    if (left === 0) words[record + SUMMARY + SUMMARY_WORDS * order + (word >>> 5)]! &= ~(1 << (word & 31));
    if (--words[record + COUNT + order]! === 0) words[record + ORDERS]! &= ~(1 << order);
  }

  /** The highest free block of an order. There is one. */
  lastFree(record: number, order: number): number {
    const words = this.#words;
    const summary = record + SUMMARY + SUMMARY_WORDS * order;
    let s = SUMMARY_WORDS - 1;
    while (words[summary + s] === 0) s--;
    const word = s * 32 + 31 - Math.clz32(words[summary + s]!);
    return word * 32 + 31 - Math.clz32(words[record + OFFSET[order]! + word]!);
  }

  /** Mark the reservation `[page, page + pages)` of an area. */
  mark(record: number, page: number, pages: number): void {
    this.#flip(record + START, page);
    this.#flip(record + END, page + pages - 1);
  }

  /** Unmark a reservation. False, and nothing changes, when none with this first and last page is marked. */
  unmark(record: number, page: number, pages: number): boolean {
    if (!this.#test(record + START, page) || !this.#test(record + END, page + pages - 1)) return false;
    this.mark(record, page, pages);
    return true;
  }

  /** Visit the marked reservations of an area, in order. */
  forEachMarked(record: number, fn: (page: number, pages: number) => void): void {
    for (let page = 0; page < AREA_PAGES; page++) {
      if (!this.#test(record + START, page)) continue;
      let last = page;
      while (!this.#test(record + END, last)) last++;
      fn(page, last - page + 1);
    }
  }

  #flip(bitmap: number, page: number): void {
    this.#words[bitmap + (page >>> 5)]! ^= 1 << (page & 31);
  }

  #test(bitmap: number, page: number): boolean {
    return (this.#words[bitmap + (page >>> 5)]! & (1 << (page & 31))) !== 0;
  }
}
