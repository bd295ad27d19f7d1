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
/** Somebody holds a GUP pin (FOLL_PIN or FOLL_GET). */
export const FOLIO_PINNED = 32;
/** Device memory that the CPU cannot reach (ZONE_DEVICE, MEMORY_DEVICE_PRIVATE). */
export const FOLIO_DEVICE = 64;
/** Somebody waits for the folio lock. */
export const FOLIO_WAITERS = 128;
