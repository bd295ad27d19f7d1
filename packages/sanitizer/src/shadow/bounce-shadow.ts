import { DMA_ATTR_SKIP_CPU_SYNC, DMA_TO_DEVICE } from '@gpusvm/dma-iova';
import { larger } from './larger.ts';

/** Bounce slots of one device, as its pool takes them and gets them back. */
export class BounceShadow {
  /** Slots in use. */
  live = 0;
  /** Taken since the last call that explains it. */
  taken = 0;
  /** Of these, the original addresses. */
  origins: Float64Array = new Float64Array(8);
  /** Given back since the last call that explains it. */
  returned = 0;
  /** Of these, how many the device could have written and were not copied back. */
  uncopied = 0;
  /** Slots of a mapping that has ended, which are to be given back before the next call. */
  owed = 0;
  /** Attributes of the call that ended it. */
  owedAttrs = 0;

  take(physBytes: number): void {
    this.live++;
    if (this.taken === this.origins.length)
      this.origins = larger(this.origins, new Float64Array(this.taken * 2));
    this.origins[this.taken++] = physBytes;
  }

  give(dir: number, attrs: number): void {
    // Some may have been taken before anybody listened.
    if (this.live > 0) this.live--;
    this.returned++;
    if (dir !== DMA_TO_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) !== 0) this.uncopied++;
  }

  /** A mapping ends, and its slot is to be given back. */
  owe(attrs: number): void {
    this.owed++;
    this.owedAttrs = attrs;
  }

  /** A call explains what was taken and given back so far. */
  explained(): void {
    this.taken = 0;
    this.returned = 0;
    this.uncopied = 0;
  }
}
