import { GPU_TLB_HIT, GPU_TLB_MISS, type XeCounters } from './counters.ts';

const REGION_PAGES = 512;

/** {@link XeGpuTlb.lookup} result bit: a translation is cached. */
export const TLB_VALID: 1 = 1;
/** The cached translation allows writes. */
export const TLB_WRITE: 2 = 2;
/** The cached translation leads to device memory. */
export const TLB_VRAM: 4 = 4;
/** The cached translation allows device atomics. */
export const TLB_ATOMIC: 8 = 8;

/**
 * The GPU's translation cache. What is in it is used without looking at the page table, also when the entry is
 * gone from there: only a flush, or another region that needs the slot, takes it away.
 *
 * One slot holds the translations of one 2M region of one address space, either as one 2M translation or as up
 * to 512 small ones; slots are direct-mapped.
 */
export class XeGpuTlb {
  /** Frame (address / 4096) found by the last {@link lookup}. */
  frame = 0;
  readonly #mask: number;
  readonly #asid: Int32Array;
  readonly #region: Float64Array;
  readonly #hugeFlags: Uint8Array;
  readonly #hugeFrame: Float64Array;
  readonly #flags: Uint8Array;
  readonly #frames: Float64Array;
  readonly #counters: XeCounters;

  /** @param slots - number of 2M regions held, a power of two. */
  constructor(slots: number, counters: XeCounters) {
    if (slots < 1 || (slots & (slots - 1)) !== 0)
      throw new RangeError(`TLB slots must be a power of two, got ${slots}`);
    this.#mask = slots - 1;
    this.#asid = new Int32Array(slots).fill(-1);
    this.#region = new Float64Array(slots);
    this.#hugeFlags = new Uint8Array(slots);
    this.#hugeFrame = new Float64Array(slots);
    this.#flags = new Uint8Array(slots * REGION_PAGES);
    this.#frames = new Float64Array(slots * REGION_PAGES);
    this.#counters = counters;
  }

  /** Flags of the cached translation of a page, 0 when there is none; the frame is left in {@link frame}. */
  lookup(asid: number, page: number): number {
    const region = Math.floor(page / REGION_PAGES);
    const slot = this.#slot(asid, region);
    if (this.#asid[slot] === asid && this.#region[slot] === region) {
      const offset = page & (REGION_PAGES - 1);
      const huge = this.#hugeFlags[slot]!;
      if (huge !== 0) {
        this.frame = this.#hugeFrame[slot]! + offset;
        this.#counters.values[GPU_TLB_HIT]!++;
        return huge;
      }
      const flags = this.#flags[slot * REGION_PAGES + offset]!;
      if (flags !== 0) {
        this.frame = this.#frames[slot * REGION_PAGES + offset]!;
        this.#counters.values[GPU_TLB_HIT]!++;
        return flags;
      }
    }
    this.#counters.values[GPU_TLB_MISS]!++;
    return 0;
  }

  /**
   * Cache a translation.
   *
   * @param leafPages - pages that the leaf covers: 1, 16, 512 or more.
   */
  insert(asid: number, page: number, frame: number, leafPages: number, flags: number): void {
    const region = Math.floor(page / REGION_PAGES);
    const slot = this.#slot(asid, region);
    if (this.#asid[slot] !== asid || this.#region[slot] !== region) {
      this.#drop(slot);
      this.#asid[slot] = asid;
      this.#region[slot] = region;
    }
    const offset = page & (REGION_PAGES - 1);
    if (leafPages >= REGION_PAGES) {
      this.#hugeFlags[slot] = flags;
      this.#hugeFrame[slot] = frame - offset;
      return;
    }
    this.#hugeFlags[slot] = 0;
    const first = offset & ~(leafPages - 1);
    const base = slot * REGION_PAGES + first;
    for (let k = 0; k < leafPages; k++) {
      this.#flags[base + k] = flags;
      this.#frames[base + k] = frame - offset + first + k;
    }
  }

  /** Forget what is cached of a page interval. Cost: constant per 2M. */
  invalidateRange(asid: number, startPage: number, endPage: number): void {
    const last = Math.floor((endPage - 1) / REGION_PAGES);
    const first = Math.floor(startPage / REGION_PAGES);
    if (last - first > this.#mask) {
      this.invalidateAsid(asid);
      return;
    }
    for (let region = first; region <= last; region++) {
      const slot = this.#slot(asid, region);
      if (this.#asid[slot] !== asid || this.#region[slot] !== region) continue;
      const from = Math.max(startPage - region * REGION_PAGES, 0);
      const to = Math.min(endPage - region * REGION_PAGES, REGION_PAGES);
      // A part of a 2M translation cannot be kept.
      if (this.#hugeFlags[slot] !== 0 || to - from === REGION_PAGES) this.#drop(slot);
      else this.#flags.fill(0, slot * REGION_PAGES + from, slot * REGION_PAGES + to);
    }
  }

  /** Forget one address space. Cost: constant per slot. */
  invalidateAsid(asid: number): void {
    for (let slot = 0; slot <= this.#mask; slot++) if (this.#asid[slot] === asid) this.#drop(slot);
  }

  /** Every cached translation, for checks: pages in no particular order. */
  forEach(fn: (asid: number, page: number, frame: number, flags: number) => void): void {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#asid[slot]! < 0) continue;
      const start = this.#region[slot]! * REGION_PAGES;
      const huge = this.#hugeFlags[slot]!;
      for (let i = 0; i < REGION_PAGES; i++) {
        const flags = huge !== 0 ? huge : this.#flags[slot * REGION_PAGES + i]!;
        const frame = huge !== 0 ? this.#hugeFrame[slot]! + i : this.#frames[slot * REGION_PAGES + i]!;
        if (flags !== 0) fn(this.#asid[slot]!, start + i, frame, flags);
      }
    }
  }

  #slot(asid: number, region: number): number {
    return (region ^ (asid * 7)) & this.#mask;
  }

  #drop(slot: number): void {
    this.#asid[slot] = -1;
    this.#hugeFlags[slot] = 0;
    this.#flags.fill(0, slot * REGION_PAGES, (slot + 1) * REGION_PAGES);
  }
}
