/** A scatter list that a translated device has mapped as one range. */
export interface ListMapping {
  readonly firstPage: number;
  readonly pages: number;
  /** First DMA address, and the end of the last DMA segment. */
  readonly addrBytes: number;
  readonly endBytes: number;
  /** Segments of the list. */
  readonly segments: number;
  readonly dir: number;
  readonly attrs: number;
  readonly task: number;
  readonly call: number;
}
