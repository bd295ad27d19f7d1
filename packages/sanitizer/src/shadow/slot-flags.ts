/** The page table translates the slot, as far as events tell. */
export const PRESENT = 1;
/** A live link or classic mapping covers the slot. */
export const LINKED = 2;
/** A sync covered it since it was linked. */
export const SYNCED = 4;
/** Its entry was cleared and the invalidation is still to come. */
export const STALE = 8;
/** Present although the program has ended the mapping: a leaf that leaked. */
export const ORPHAN = 16;
/** Goes through a bounce slot. */
export const BOUNCED = 32;
/** Belongs to a live reservation or classic mapping. */
export const RESERVED = 64;
