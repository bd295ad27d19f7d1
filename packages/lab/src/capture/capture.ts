/** Bytes of a base page; the only page size that capture format 1 holds. */
export const CAPTURE_PAGE_SIZE_BYTES = 4096;

/** What a mapping is for. Names are dropped from a capture by default; this class stays. */
export type VmaKind = 'anon' | 'heap' | 'stack' | 'file' | 'special';

/** Protection of a mapping, as in `/proc/PID/maps`. */
export interface VmaProtection {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
}

/** One mapping of the captured process. */
export interface CaptureVma {
  /** First 4 KiB page number (virtual address / 4096). */
  readonly startPage: number;
  /** Page number after the last page. */
  readonly endPage: number;
  readonly prot: VmaProtection;
  /** True for MAP_SHARED. */
  readonly shared: boolean;
  readonly kind: VmaKind;
  /** True for a hugetlbfs mapping (`ht` in VmFlags). */
  readonly hugetlb: boolean;
  /** True where no ordinary pages are mapped (VM_IO, VM_PFNMAP, vsyscall); a capture holds no runs inside it. */
  readonly io: boolean;
  /** Path or pseudo name; only when the capture was made with names kept. */
  readonly name?: string;
}

/** Bits of {@link PageRuns.flags}. */
export const PageFlag = {
  /** The page is not in memory: a swap entry. `pfn` and `order` of the run are 0. */
  SWAPPED: 1,
  /** Anonymous memory, as against page cache (file or shmem). */
  ANON: 2,
  /** The shared zero page: nothing was written yet. Small zero pages repeat one pfn, so each is a run of its own. */
  ZERO: 4,
  /** Mapped by a PMD (or larger) entry; start and length are multiples of 512 pages. */
  PMD_MAPPED: 8,
  /** Mapped more than once, by this process or another. */
  SHARED: 16,
} as const;

/**
 * Populated pages as runs, one typed array a column.
 *
 * @remarks
 * Sorted by `startPage`, disjoint, and no run crosses the end of a VMA. Inside a run the pfns are contiguous and all
 * folios have one order. Folios are aligned in pfn space to their size, so their bounds follow from `pfn` and `order`;
 * a run may begin or end inside a folio.
 */
export interface PageRuns {
  /** First virtual page of each run. */
  readonly startPage: Float64Array;
  /** Pages in each run, at least 1. */
  readonly pageCount: Uint32Array;
  /** Page-frame number of the first page. */
  readonly pfn: Float64Array;
  /** Order of the folios that back the run (2^order pages each). */
  readonly order: Uint8Array;
  /** {@link PageFlag} bits. */
  readonly flags: Uint8Array;
}

/** Where a capture comes from; every field may be missing. */
export interface CaptureInfo {
  /** Kernel version, such as `6.18.44`. */
  readonly kernel?: string;
  /** Command name; only when names were kept. */
  readonly command?: string;
  /** A sentence for the reader, such as what could not be read. */
  readonly note?: string;
  /** ISO 8601 time; only when the maker asked for it, since it makes equal captures differ. */
  readonly capturedAt?: string;
}

/** The memory layout of one process at (about) one moment: no contents. */
export interface Capture {
  readonly version: 1;
  /** `captured`: pfns and orders were read from the kernel. `modelled`: the kernel hid them; see `physical-model.ts`. */
  readonly physical: 'captured' | 'modelled';
  readonly pageSize: typeof CAPTURE_PAGE_SIZE_BYTES;
  /** Seed of the physical model (u32); present exactly when `physical` is `modelled`. */
  readonly seed?: number;
  readonly info: CaptureInfo;
  /** Sorted and disjoint. */
  readonly vmas: readonly CaptureVma[];
  readonly runs: PageRuns;
  /** MemTotal of the machine in pages. Physical memory has holes, so a pfn can be higher. */
  readonly ramPages?: number;
}
