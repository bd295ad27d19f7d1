/**
 * A scatter list in structure-of-arrays form (struct scatterlist): the segments of a buffer, and after mapping the
 * DMA segments, which are as many or fewer because neighbours are joined.
 */
export class ScatterList {
  /** Segments in use. */
  count = 0;
  /** Physical address of each segment, bytes. */
  readonly physBytes: Float64Array;
  /** Length of each segment, bytes. */
  readonly lengthBytes: Float64Array;
  /** DMA address of each mapped segment, bytes. */
  readonly dmaAddrBytes: Float64Array;
  /** Length of each mapped segment, bytes. */
  readonly dmaLengthBytes: Float64Array;
  /** DMA segments after mapping. */
  mapped = 0;
  /** @internal length of each segment inside the IOVA, padding included. */
  readonly paddedBytes: Float64Array;

  constructor(capacity: number) {
    this.physBytes = new Float64Array(capacity);
    this.lengthBytes = new Float64Array(capacity);
    this.dmaAddrBytes = new Float64Array(capacity);
    this.dmaLengthBytes = new Float64Array(capacity);
    this.paddedBytes = new Float64Array(capacity);
  }

  /** Append a segment. */
  push(physBytes: number, lengthBytes: number): void {
    if (this.count === this.physBytes.length)
      throw new RangeError(`scatter list of ${this.count} segments is full`);
    this.physBytes[this.count] = physBytes;
    this.lengthBytes[this.count] = lengthBytes;
    this.count++;
  }
}
