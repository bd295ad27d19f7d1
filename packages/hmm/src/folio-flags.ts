/** Bits of `FolioTable.flags`; they describe a folio and live at its head page. */
export const FOLIO_LOCKED = 1;
/** Anonymous memory (PageAnon). */
export const FOLIO_ANON = 2;
/** Modified since it was last written back. */
export const FOLIO_DIRTY = 4;
/** A live folio begins here; set from allocation to free. */
export const FOLIO_HEAD = 8;
/** Member of a page cache, which holds one reference. */
export const FOLIO_CACHED = 16;
/** Somebody holds a GUP pin (FOLL_PIN). */
export const FOLIO_PINNED = 32;
/** Memory of a device (ZONE_DEVICE); it is on no LRU list and is freed to its provider. */
export const FOLIO_DEVICE = 64;
/** Somebody waits for the folio lock. */
export const FOLIO_WAITERS = 128;
/** Device memory that the CPU maps like RAM (MEMORY_DEVICE_COHERENT); only together with {@link FOLIO_DEVICE}. */
export const FOLIO_COHERENT = 256;
/** Taken off the LRU by somebody, who holds one reference (the opposite of PageLRU). */
export const FOLIO_ISOLATED = 512;
/** Member of the swap cache, which holds one reference for each page. */
export const FOLIO_SWAPCACHE = 1024;
/** Freed by MADV_FREE: may be dropped while it is clean (the opposite of PageSwapBacked). */
export const FOLIO_LAZYFREE = 2048;
/** hwpoison: the memory is broken and never used again. */
export const FOLIO_HWPOISON = 4096;
/** Device memory that the CPU cannot reach, as the masked value of its two bits. */
export const FOLIO_DEVICE_MASK: number = FOLIO_DEVICE | FOLIO_COHERENT;
