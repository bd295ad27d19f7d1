/** Pages of a bus address. */
export interface BusRange {
  readonly firstPage: number;
  readonly pages: number;
}

/** A live scatter list. */
export interface ListMapping {
  /** The one range that a translated device has mapped it to; 0 pages = none. */
  readonly firstPage: number;
  readonly pages: number;
  /** Segments that peers below the same switch are reached by. */
  readonly bus: readonly BusRange[];
  /** First DMA address, and the end of the last DMA segment, of that range. */
  readonly addrBytes: number;
  readonly endBytes: number;
  /** Segments of the list. */
  readonly segments: number;
  readonly dir: number;
  readonly attrs: number;
  readonly task: number;
  readonly call: number;
}
