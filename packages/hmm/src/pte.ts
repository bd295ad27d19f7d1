/**
 * Bits of a page-table entry of the model, at PTE and PMD level. The kind takes four bits; what kind owns a
 * reference and a map count is in the README.
 */
export const PTE_KIND = 0x0f;
export const PTE_NONE = 0;
/** A page of RAM. Owns one reference and one map count. */
export const PTE_PRESENT = 1;
/** The zero page, or the huge zero page at PMD level. Owns nothing. */
export const PTE_ZERO = 2;
/** Device-private memory. Owns one reference and one map count. */
export const PTE_DEVICE = 3;
/** The page is being migrated; the migrator owns lock and reference. */
export const PTE_MIGRATION = 4;
/** Swapped out: the pfn field is the slot. Owns one count of the slot. */
export const PTE_SWAP = 5;
/** A page of RAM that one device alone may use. Owns one reference and, but for 6.12, one map count. */
export const PTE_EXCLUSIVE = 6;
/** Neither page nor hole: the pfn field is a MARKER_*. Owns nothing. */
export const PTE_MARKER = 7;

/** Was write-protected by userfaultfd while nothing was there; everybody else takes it for none. */
export const MARKER_UFFD_WP = 1;
/** Accesses get SIGBUS (UFFDIO_POISON). */
export const MARKER_POISON = 2;
/** Accesses get SIGSEGV (MADV_GUARD_INSTALL). */
export const MARKER_GUARD = 3;
/** The page was lost to a memory error. */
export const MARKER_HWPOISON = 4;

/** The CPU may write; for device and migration entries: may write once the page is back. */
export const PTE_WRITE = 0x10;
export const PTE_DIRTY = 0x20;
/** The anonymous page belongs to this entry alone (PageAnonExclusive); a write fault may reuse it. */
export const PTE_ANON_EXCLUSIVE = 0x40;
/** Present or zero page that the CPU may not access: a PROT_NONE mapping or a NUMA hint. */
export const PTE_PROTNONE = 0x80;

/** What `Mm.entryKind` calls an entry. */
export type EntryKind =
  | 'none'
  | 'present'
  | 'zero'
  | 'device-private'
  | 'migration'
  | 'swap'
  | 'device-exclusive'
  | 'marker';

export const ENTRY_KINDS: readonly EntryKind[] = [
  'none',
  'present',
  'zero',
  'device-private',
  'migration',
  'swap',
  'device-exclusive',
  'marker',
];
