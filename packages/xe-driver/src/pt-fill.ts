import { EINVAL, type Errno } from '@gpusvm/kernel';
import {
  entryHigh,
  entryLow,
  leafHighFlags,
  leafLowFlags,
  PAGES_64K,
  PT_COMPACT_ENTRIES,
  XE_PTE_PS64,
} from './pt-encoding.ts';
import type { ResCursor } from './res-cursor.ts';

/** How the leaves of one bind look. */
export interface LeafFormat {
  /** Page attribute table index. */
  patIndex: number;
  /** RW and AE bits for device memory. */
  vramFlags: number;
  /** RW and AE bits for system memory. */
  systemFlags: number;
  /** Compact level-0 tables exist (graphics 12.50 and later). */
  compact64k: boolean;
  /** Device memory may only be mapped in pieces of 64K (XE_VRAM_FLAGS_NEED64K: DG2, PVC). */
  needs64k: boolean;
}

/** RW, AE and DM bits for the memory under the cursor. */
export function leafFlags(cursor: ResCursor, format: LeafFormat): number {
  return cursor.isVram ? format.vramFlags : format.systemFlags;
}

/**
 * Whether the next `pages` are made of aligned 64K pieces; segments are looked at, not pages.
 *
 * @param look - a cursor that may be moved.
 */
export function is64kAble(cursor: ResCursor, look: ResCursor, pages: number): boolean {
  look.copyFrom(cursor);
  for (let left = pages; left > 0; ) {
    const piece = Math.min(left, look.segmentPages);
    if ((piece & (PAGES_64K - 1)) !== 0 || ((look.addrBytes / 4096) & (PAGES_64K - 1)) !== 0) return false;
    left -= piece;
    look.advance(piece);
  }
  return true;
}

/** Fill a compact table: 32 entries of 64K from word `base` on. */
export function fill64k(words: Uint32Array, base: number, cursor: ResCursor, format: LeafFormat): void {
  const { patIndex } = format;
  const high = leafHighFlags(patIndex);
  for (let i = 0; i < PT_COMPACT_ENTRIES; i++) {
    const frame = cursor.addrBytes / 4096;
    words[base + i * 2] = entryLow(frame, leafLowFlags(patIndex, 0, leafFlags(cursor, format)));
    words[base + i * 2 + 1] = entryHigh(frame, high);
    cursor.advance(PAGES_64K);
  }
}

/**
 * Fill 4K entries for `[firstPage, lastPage)` from word `base` on, with the 64K hint on aligned contiguous groups.
 *
 * @returns 0, or -EINVAL for device memory that needs 64K and is in smaller pieces.
 */
export function fill4k(
  words: Uint32Array,
  base: number,
  cursor: ResCursor,
  format: LeafFormat,
  firstPage: number,
  lastPage: number,
): Errno {
  const { patIndex, needs64k } = format;
  const high = leafHighFlags(patIndex);
  let at = base;
  for (let page = firstPage; page < lastPage; ) {
    let frame = cursor.addrBytes / 4096;
    const run = Math.min(cursor.segmentPages, lastPage - page);
    const plain = leafLowFlags(patIndex, 0, leafFlags(cursor, format));
    // Groups of 64K line up in VA and DMA address, or no group of this segment does.
    const aligned = ((frame - page) & (PAGES_64K - 1)) === 0;
    const strict = needs64k && cursor.isVram;
    for (let left = run; left > 0; ) {
      const block = Math.min(left, PAGES_64K - (page & (PAGES_64K - 1)));
      const ps64 = aligned && block === PAGES_64K;
      if (strict && !ps64) return -EINVAL;
      const low = ps64 ? plain | XE_PTE_PS64 : plain;
      for (let k = 0; k < block; k++, frame++, at += 2) {
        words[at] = (frame << 12) | low;
        words[at + 1] = Math.floor(frame / 0x10_0000) | high;
      }
      page += block;
      left -= block;
    }
    cursor.advance(run);
  }
  return 0;
}
