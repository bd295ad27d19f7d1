/** IO page-table variants. */
export type IoPageTableName = 'vtd' | 'amdv1' | 'vtd-legacy' | 'amd-legacy' | 'arm-lpae';

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
  /** Levels of 512 entries, smallest, largest, usual. */
  readonly levels: { readonly min: number; readonly max: number; readonly usual: number };
  /** Width of physical addresses. */
  readonly outputBits: number;
  /** log2 of the leaf sizes in 4 KiB pages, ascending. One that is no multiple of 9 is a run of entries. */
  readonly leafOrders: readonly number[];
  /** What a map over an occupied slot gives. */
  readonly occupied: 'eaddrinuse' | 'eexist-warn';
  readonly unmap: UnmapModel;
  /** Largest range invalidation, log2 of 4 KiB pages; beyond it the whole domain is flushed. */
  readonly maxInvalidationOrder: number;
}
