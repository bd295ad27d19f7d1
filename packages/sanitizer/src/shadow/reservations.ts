import type { DmaIovaState } from '@gpusvm/dma-iova';
import { larger } from './larger.ts';

/** Reservations of IOVA space (dma_iova_try_alloc), as parallel typed arrays. Record 0 means "none". */
export class Reservations {
  addrBytes: Float64Array = new Float64Array(8);
  sizeBytes: Float64Array = new Float64Array(8);
  firstPage: Float64Array = new Float64Array(8);
  /** 0 = the record is free. */
  pages: Float64Array = new Float64Array(8);
  /** Pages linked now. */
  linked: Float64Array = new Float64Array(8);
  /** First page after the highest link that ends inside a page; 0 = none. */
  raggedEnd: Float64Array = new Float64Array(8);
  /** Range of the last link that failed, as pages; 0 pages = none. */
  failedPage: Float64Array = new Float64Array(8);
  failedPages: Float64Array = new Float64Array(8);
  /** A part of it was bounced. */
  bounced: Uint8Array = new Uint8Array(8);
  /** Syncs since the last link. */
  syncs: Int32Array = new Int32Array(8);
  task: Int32Array = new Int32Array(8);
  /** Number of the call that made it. */
  call: Int32Array = new Int32Array(8);
  /** Something about it that a plain call does not have: a ragged end, a link that failed, a bounced part. */
  special: Uint8Array = new Uint8Array(8);
  /** The object that its owner holds. */
  readonly state: (DmaIovaState | null)[] = [null];
  next: Int32Array = new Int32Array(8);
  #free = 0;
  #used = 1;

  take(): number {
    let id = this.#free;
    if (id !== 0) {
      this.#free = this.next[id]!;
    } else {
      if (this.#used === this.next.length) this.#grow();
      id = this.#used++;
    }
    this.linked[id] = 0;
    this.raggedEnd[id] = 0;
    this.failedPages[id] = 0;
    this.bounced[id] = 0;
    this.syncs[id] = 0;
    this.special[id] = 0;
    return id;
  }

  release(id: number): void {
    this.pages[id] = 0;
    this.state[id] = null;
    this.next[id] = this.#free;
    this.#free = id;
  }

  /** Visit the live reservations. */
  forEach(fn: (id: number) => void): void {
    for (let id = 1; id < this.#used; id++) if (this.pages[id]! > 0) fn(id);
  }

  #grow(): void {
    const n = this.next.length * 2;
    this.addrBytes = larger(this.addrBytes, new Float64Array(n));
    this.sizeBytes = larger(this.sizeBytes, new Float64Array(n));
    this.firstPage = larger(this.firstPage, new Float64Array(n));
    this.pages = larger(this.pages, new Float64Array(n));
    this.linked = larger(this.linked, new Float64Array(n));
    this.raggedEnd = larger(this.raggedEnd, new Float64Array(n));
    this.failedPage = larger(this.failedPage, new Float64Array(n));
    this.failedPages = larger(this.failedPages, new Float64Array(n));
    this.bounced = larger(this.bounced, new Uint8Array(n));
    this.syncs = larger(this.syncs, new Int32Array(n));
    this.task = larger(this.task, new Int32Array(n));
    this.call = larger(this.call, new Int32Array(n));
    this.special = larger(this.special, new Uint8Array(n));
    this.next = larger(this.next, new Int32Array(n));
  }
}
