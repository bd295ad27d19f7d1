/** IO page-table variants. */
export type IoPageTableName =
  | 'vtd'
  | 'amdv1'
  | 'vtd-legacy'
  | 'amd-legacy'
  | 'arm-lpae'
  | 'arm-lpae-16k'
  | 'arm-lpae-64k';

/** What an unmap does where the plain case ends: at holes, in the middle of leaves, and with emptied tables. */
export interface UnmapModel {
  /** An empty entry inside an existing table: end the unmap, step over it, or count it as unmapped. */
  readonly hole: 'stop' | 'skip' | 'count';
  /** An empty entry above the lowest level. */
  readonly missingTable: 'stop' | 'skip';
  /** What is reported: the pages cleared, or always what was asked for. */
  readonly returns: 'cleared' | 'requested';
  /** When a table page is freed. */
  readonly freeTables: 'covered' | 'never';
  /** Holes make the page-table code itself warn. */
  readonly warns: boolean;
  /** A range that ends inside a large leaf removes the whole leaf, or is refused. */
  readonly endInsideLeaf: 'remove' | 'refuse';
  /** A range that starts inside a large leaf is refused, or removes the whole leaf. */
  readonly startInsideLeaf: 'refuse' | 'remove';
}

/** Geometry and behaviour of an IO page table, as data. The radix walker is shared. */
export interface IoPageTableFormat {
  readonly name: IoPageTableName;
  readonly summary: string;
  /** Where the behaviour comes from. */
  readonly source: string;
  /** log2 of the smallest page in 4 KiB pages: 0, or 2 and 4 for Arm's granules of 16 and 64 KiB. */
  readonly granuleOrder: number;
  /** log2 of the entries of a table: 9, or 11 and 13 for 16 and 64 KiB. */
  readonly bitsPerLevel: number;
  /** Levels, smallest, largest, usual. */
  readonly levels: { readonly min: number; readonly max: number; readonly usual: number };
  /** Levels at first, when the top grows on demand up to the domain's levels; 0 = all at once. */
  readonly startLevels: number;
  /** Width of IOVAs, where that is less than what the levels cover. */
  readonly inputBits: number;
  /** Width of physical addresses. */
  readonly outputBits: number;
  /** log2 of the leaf sizes in 4 KiB pages, ascending. One that is not the span of an entry is a run of entries. */
  readonly leafOrders: readonly number[];
  /** What a map over an occupied slot gives. */
  readonly occupied: 'eaddrinuse' | 'eexist-warn';
  /** What a map of something that is no multiple of the smallest page gives: generic_pt, or iommu_map's own test. */
  readonly unaligned: 'enxio' | 'einval';
  readonly unmap: UnmapModel;
  /** In caching mode an invalidation covers no gap, so that a hypervisor does not throw away what is still mapped. */
  readonly noGapsWhenCaching: boolean;
  /** Largest range invalidation, log2 of 4 KiB pages; beyond it the whole domain is flushed. */
  readonly maxInvalidationOrder: number;
}
