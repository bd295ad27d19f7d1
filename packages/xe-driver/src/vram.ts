import type { DevPagemap } from '@gpusvm/hmm';
import { PAGE_SIZE, type Pfn } from '@gpusvm/kernel';

/** Device physical address of the first byte of memory: not 0, so that no conversion is the identity. */
export const DEFAULT_DPA_BASE_BYTES: number = 4 * 2 ** 30;

/**
 * The device's own memory (struct xe_vram_region, xe_vram.c): one content tag a page, addressed by device
 * physical address (DPA), and the conversions between that, page-frame numbers and offsets.
 */
export class VramRegion {
  /** DPA of the first byte, a multiple of 1 GiB (identity map of the copy engine). */
  readonly dpaBaseBytes: number;
  /** The same as a 4K frame number. */
  readonly dpaBaseFrame: number;
  readonly pages: number;
  readonly #tags: Float64Array;
  #pagemap: DevPagemap | null = null;

  constructor(pages: number, dpaBaseBytes: number = DEFAULT_DPA_BASE_BYTES) {
    if (!Number.isInteger(pages) || pages < 0)
      throw new RangeError(`VRAM size in pages must not be ${pages}`);
    if (dpaBaseBytes % 2 ** 30 !== 0)
      throw new RangeError(`DPA base must be a multiple of 1 GiB, got ${dpaBaseBytes}`);
    this.pages = pages;
    this.dpaBaseBytes = dpaBaseBytes;
    this.dpaBaseFrame = dpaBaseBytes / PAGE_SIZE;
    this.#tags = new Float64Array(pages);
  }

  /** The pagemap whose page-frame numbers stand for this memory. */
  attach(pagemap: DevPagemap): void {
    this.#pagemap = pagemap;
  }

  /** Content of the page at a DPA frame; the hardware never checks who asks. */
  readTag(dpaFrame: number): number {
    return this.#tags[this.#offset(dpaFrame)]!;
  }

  /** Set the content of the page at a DPA frame. */
  writeTag(dpaFrame: number, tag: number): void {
    this.#tags[this.#offset(dpaFrame)] = tag;
  }

  /** Set the content of `pages` pages to zero. */
  clear(dpaFrame: number, pages: number): void {
    const offset = this.#offset(dpaFrame);
    this.#tags.fill(0, offset, offset + pages);
  }

  /** Page-frame number -> DPA frame (xe_page_to_dpa). */
  pfnToDpaFrame(pfn: Pfn): number {
    return pfn - this.#hpaBasePfn() + this.dpaBaseFrame;
  }

  /** DPA frame -> page-frame number. */
  dpaFrameToPfn(dpaFrame: number): Pfn {
    return dpaFrame - this.dpaBaseFrame + this.#hpaBasePfn();
  }

  /** Offset of an allocation, in pages -> page-frame number (block_offset_to_pfn). */
  offsetToPfn(offsetPages: number): Pfn {
    return offsetPages + this.#hpaBasePfn();
  }

  #hpaBasePfn(): Pfn {
    if (this.#pagemap === null)
      throw new Error('this VRAM region has no pagemap: its pages have no frame numbers');
    return this.#pagemap.basePfn;
  }

  #offset(dpaFrame: number): number {
    const offset = dpaFrame - this.dpaBaseFrame;
    if (offset < 0 || offset >= this.pages)
      throw new RangeError(`DPA frame ${dpaFrame} is not in this VRAM region`);
    return offset;
  }
}
