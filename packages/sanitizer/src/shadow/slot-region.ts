import { REGION_PAGES } from './region.ts';
import { LINKED, PRESENT, STALE } from './slot-flags.ts';

/** Base of a region that is in no address space. */
export const NOWHERE: number = -(2 ** 53);

const NO_BYTES = new Uint8Array(0);
const NO_INTS = new Int32Array(0);
const NO_DOUBLES = new Float64Array(0);

/** State of 512 slots: one value for all of them, or an array element each. */
export class SlotRegion {
  /** First page; far below every page while the region is in the pool. */
  base: number = NOWHERE;
  split = false;
  flags = 0;
  /** What is mapped, see `inline-link.ts`. */
  link = 0;
  /** Frame of the first slot; the others follow it. */
  pfn = 0;
  /** Number of the call that mapped it. */
  call = 0;
  /** Slots whose flags are not 0, while split. */
  used = 0;
  flagsOf: Uint8Array = NO_BYTES;
  /** The same, four slots a word. */
  flagWords: Int32Array = NO_INTS;
  linkOf: Int32Array = NO_INTS;
  pfnOf: Float64Array = NO_DOUBLES;
  callOf: Int32Array = NO_INTS;
}

/** A region that no page lies in. */
export const NO_REGION: SlotRegion = new SlotRegion();

/** Give every slot of a region its own element. */
export function splitRegion(region: SlotRegion): void {
  if (!region.split) splitSlowly(region);
}

function splitSlowly(region: SlotRegion): void {
  region.split = true;
  if (region.flagsOf.length === 0) {
    region.flagsOf = new Uint8Array(REGION_PAGES);
    region.flagWords = new Int32Array(region.flagsOf.buffer);
    region.linkOf = new Int32Array(REGION_PAGES);
    region.pfnOf = new Float64Array(REGION_PAGES);
    region.callOf = new Int32Array(REGION_PAGES);
  }
  const { flags } = region;
  region.flagsOf.fill(flags);
  region.used = flags === 0 ? 0 : REGION_PAGES;
  // The rest means something only while something is or was mapped.
  if ((flags & (LINKED | PRESENT | STALE)) === 0) return;
  region.linkOf.fill(region.link);
  region.callOf.fill(region.call);
  for (let i = 0; i < REGION_PAGES; i++) region.pfnOf[i] = region.pfn + i;
}

/** Whether any slot of a region has state. */
export function isUsed(region: SlotRegion): boolean {
  return (region.split ? region.used : region.flags) !== 0;
}

/** Whether all slots of a part of a split region have exactly these flags. */
export function flagsAre(region: SlotRegion, first: number, end: number, flags: number): boolean {
  const { flagsOf, flagWords } = region;
  const word = flags * 0x01010101;
  let differ = 0;
  let i = first;
  for (; i < end && (i & 3) !== 0; i++) differ |= flagsOf[i]! ^ flags;
  for (; i + 4 <= end; i += 4) differ |= flagWords[i >> 2]! ^ word;
  for (; i < end; i++) differ |= flagsOf[i]! ^ flags;
  return differ === 0;
}
