import { INLINE_LINK, KINDS, type MappingKind } from './inline-link.ts';
import { larger } from './larger.ts';

/** Numbers of a record kept as doubles, and as integers. */
const DOUBLES = 8;
const INTS = 8;
const FIRST = 8;

/**
 * What the program under test has mapped: one record a link of a reservation or a classic mapping (dma_map_*).
 * Records lie one behind another in two typed arrays, so that writing one touches two cache lines. Record 0 means
 * "none".
 */
export class Mappings {
  #doubles: Float64Array = new Float64Array(FIRST * DOUBLES);
  #ints: Int32Array = new Int32Array(FIRST * INTS);
  #free = 0;
  #used = 1;
  #live = 0;

  /** Records in use. */
  get live(): number {
    return this.#live;
  }

  /** First page in the device's address space. */
  firstPage(id: number): number {
    return this.#doubles[id * DOUBLES]!;
  }

  /** Pages; 0 = the record is free. */
  pages(id: number): number {
    return this.#doubles[id * DOUBLES + 1]!;
  }

  /** Pages not yet unlinked. */
  alive(id: number): number {
    return this.#doubles[id * DOUBLES + 2]!;
  }

  /** Physical address and length as they were passed, bytes. */
  physBytes(id: number): number {
    return this.#doubles[id * DOUBLES + 3]!;
  }

  sizeBytes(id: number): number {
    return this.#doubles[id * DOUBLES + 4]!;
  }

  /** DMA address of a classic mapping. */
  addrBytes(id: number): number {
    return this.#doubles[id * DOUBLES + 5]!;
  }

  dir(id: number): number {
    return this.#ints[id * INTS]!;
  }

  attrs(id: number): number {
    return this.#ints[id * INTS + 1]!;
  }

  /** Reservation of a link; 0 = a classic mapping. */
  reservation(id: number): number {
    return this.#ints[id * INTS + 2]!;
  }

  /** Task that made it. */
  task(id: number): number {
    return this.#ints[id * INTS + 3]!;
  }

  /** Whether any part went through a bounce slot. */
  bounced(id: number): boolean {
    return this.#ints[id * INTS + 4] === 1;
  }

  setBounced(id: number): void {
    this.#ints[id * INTS + 4] = 1;
  }

  /** Whether it begins and ends with a page. */
  isWhole(id: number): boolean {
    const d = id * DOUBLES;
    return ((this.#doubles[d + 3]! | this.#doubles[d + 4]!) & 4095) === 0;
  }

  /** Next record with the same DMA address: one page mapped twice by a device that is not translated. */
  next(id: number): number {
    return this.#ints[id * INTS + 5]!;
  }

  setNext(id: number, next: number): void {
    this.#ints[id * INTS + 5] = next;
  }

  /** Number of the call that made it. */
  call(id: number): number {
    return this.#ints[id * INTS + 6]!;
  }

  kind(id: number): MappingKind {
    return KINDS[this.#ints[id * INTS + 7]!]!;
  }

  /** Fill a record that was taken with what a call said. */
  fill(
    id: number,
    op: {
      readonly firstPage: number;
      readonly pages: number;
      readonly physBytes: number;
      readonly sizeBytes: number;
      readonly addrBytes: number;
      readonly dir: number;
      readonly attrs: number;
      readonly reservation: number;
    },
    kind: 0 | 1 | 2 | 3,
    task: number,
    call: number,
  ): void {
    const doubles = this.#doubles;
    const d = id * DOUBLES;
    doubles[d] = op.firstPage;
    doubles[d + 1] = op.pages;
    doubles[d + 2] = op.pages;
    doubles[d + 3] = op.physBytes;
    doubles[d + 4] = op.sizeBytes;
    doubles[d + 5] = op.addrBytes;
    const ints = this.#ints;
    const i = id * INTS;
    ints[i] = op.dir;
    ints[i + 1] = op.attrs;
    ints[i + 2] = op.reservation;
    ints[i + 3] = task;
    ints[i + 4] = 0;
    ints[i + 5] = 0;
    ints[i + 6] = call;
    ints[i + 7] = kind;
  }

  /** Fill a record that was taken with a link of whole pages without attributes. */
  fillLink(
    id: number,
    firstPage: number,
    pages: number,
    physBytes: number,
    dir: number,
    reservation: number,
    task: number,
    call: number,
  ): void {
    const doubles = this.#doubles;
    const d = id * DOUBLES;
    doubles[d] = firstPage;
    doubles[d + 1] = pages;
    doubles[d + 2] = pages;
    doubles[d + 3] = physBytes;
    doubles[d + 4] = pages * 4096;
    doubles[d + 5] = firstPage * 4096;
    const ints = this.#ints;
    const i = id * INTS;
    ints[i] = dir;
    ints[i + 1] = 0;
    ints[i + 2] = reservation;
    ints[i + 3] = task;
    ints[i + 4] = 0;
    ints[i + 5] = 0;
    ints[i + 6] = call;
    ints[i + 7] = INLINE_LINK;
  }

  /** Pages were unlinked; the record is released with its last one. Returns whether it was. */
  drop(id: number, pages: number): boolean {
    const at = id * DOUBLES + 2;
    const alive = this.#doubles[at]! - pages;
    this.#doubles[at] = alive;
    if (alive > 0) return false;
    this.release(id);
    return true;
  }

  take(): number {
    this.#live++;
    const id = this.#free;
    if (id !== 0) {
      this.#free = this.#ints[id * INTS + 5]!;
      return id;
    }
    if (this.#used * DOUBLES === this.#doubles.length) {
      this.#doubles = larger(this.#doubles, new Float64Array(this.#doubles.length * 2));
      this.#ints = larger(this.#ints, new Int32Array(this.#ints.length * 2));
    }
    return this.#used++;
  }

  release(id: number): void {
    this.#live--;
    this.#doubles[id * DOUBLES + 1] = 0;
    this.#ints[id * INTS + 5] = this.#free;
    this.#free = id;
  }

  /** Visit the records in use. */
  forEach(fn: (id: number) => void): void {
    for (let id = 1; id < this.#used; id++) if (this.pages(id) > 0) fn(id);
  }
}
