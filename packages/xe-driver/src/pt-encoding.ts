import { PAGE_SIZE } from '@gpusvm/kernel';

/**
 * Entry layout of the GPU page tables (drivers/gpu/drm/xe/regs/xe_gtt_defs.h). An entry has 64 bits and is kept
 * as two 32-bit words, low word first, because a double cannot hold it and BigInt is ten times slower.
 */

/** Entries of a table. */
export const PT_ENTRIES: 512 = 512;
/** Entries of a compact level-0 table, each 64K. */
export const PT_COMPACT_ENTRIES: 32 = 32;
/** 4K pages of a 64K block. */
export const PAGES_64K: 16 = 16;
/** Highest level at which an entry may map memory (MAX_HUGEPTE_LEVEL): 1G. */
export const MAX_HUGEPTE_LEVEL: 2 = 2;
/** 4K pages covered by one entry of a level. */
export const LEVEL_PAGES: readonly [number, number, number, number, number] = [
  1,
  2 ** 9,
  2 ** 18,
  2 ** 27,
  2 ** 36,
];

/** Low word: entry is valid. */
export const XE_PAGE_PRESENT: number = 1 << 0;
/** Low word: writes are allowed. */
export const XE_PAGE_RW: number = 1 << 1;
const PAT0 = 1 << 3;
const PAT1 = 1 << 4;
/** Low word of a level-1 pointer: the child table is compact. */
export const XE_PDE_64K: number = 1 << 6;
const PAT2_LEVEL0 = 1 << 7;
/** Low word at levels 1 and 2: the entry maps 2M or 1G instead of pointing to a table. */
export const XE_PDPE_PS: number = 1 << 7;
/** Low word: 64K hint on a 4K entry. */
export const XE_PTE_PS64: number = 1 << 8;
/** Low word: reads give zero, writes vanish. */
export const XE_PTE_NULL: number = 1 << 9;
/** Low word: device atomics are allowed. */
export const XE_USM_PPGTT_PTE_AE: number = 1 << 10;
/** Low word: the address is device memory. */
export const XE_PPGTT_PTE_DM: number = 1 << 11;
const PAT2_HUGE = 1 << 12;
const PAT4_HIGH = 1 << (61 - 32);
const PAT3_HIGH = 1 << (62 - 32);
const ADDRESS_HIGH = 0xf_ffff;
const ADDRESS_LOW = 0xffff_f000;

/**
 * Flag part of a leaf's low word: PAT index, page-size bit and the given flags.
 *
 * @param patIndex - page attribute table index, 0 to 31.
 * @param level - 0, 1 or 2.
 * @param flags - RW, PS64, NULL, AE, DM as needed; PRESENT is added.
 */
export function leafLowFlags(patIndex: number, level: number, flags: number): number {
  let low = flags | XE_PAGE_PRESENT;
  if ((patIndex & 1) !== 0) low |= PAT0;
  if ((patIndex & 2) !== 0) low |= PAT1;
  if ((patIndex & 4) !== 0) low |= level === 0 ? PAT2_LEVEL0 : PAT2_HUGE;
  return level === 0 ? low : low | XE_PDPE_PS;
}

/** Flag part of a leaf's high word. */
export function leafHighFlags(patIndex: number): number {
  return ((patIndex & 8) !== 0 ? PAT3_HIGH : 0) | ((patIndex & 16) !== 0 ? PAT4_HIGH : 0);
}

/** Low word of an entry for the 4K frame number `frame` (address / 4096). */
export function entryLow(frame: number, lowFlags: number): number {
  return ((frame << 12) | lowFlags) >>> 0;
}

/** High word of an entry for the 4K frame number `frame`. */
export function entryHigh(frame: number, highFlags: number): number {
  return (Math.floor(frame / 0x10_0000) | highFlags) >>> 0;
}

/** 4K frame number stored in a level-0 entry or in a pointer to a table. */
export function entryFrame(low: number, high: number): number {
  return (high & ADDRESS_HIGH) * 0x10_0000 + (((low & ADDRESS_LOW) >>> 12) | 0);
}

/** 4K frame number stored in a leaf of level 1 or 2, where low address bits carry other things. */
export function hugeFrame(low: number, high: number, level: number): number {
  const span = LEVEL_PAGES[level as 1 | 2];
  return Math.floor(entryFrame(low, high) / span) * span;
}

/** Whether a byte address can be encoded: page aligned and below 2^52. */
export function isEncodable(addrBytes: number): boolean {
  return addrBytes >= 0 && addrBytes < 2 ** 52 && (addrBytes & (PAGE_SIZE - 1)) === 0;
}
