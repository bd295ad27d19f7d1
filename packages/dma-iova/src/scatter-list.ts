import type { P2pProvider } from './p2pdma.ts';

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
  /** Whose BAR each segment is; null = ordinary memory. */
  readonly provider: (P2pProvider | null)[] = [];
  /** DMA address of each mapped segment, bytes. */
  readonly dmaAddrBytes: Float64Array;
  /** Length of each mapped segment, bytes. */
  readonly dmaLengthBytes: Float64Array;
  /** 1 where a mapped segment is a bus address of a peer, which no IOMMU translates (sg_dma_is_bus_address). */
  readonly dmaIsBus: Uint8Array;
  /** DMA segments after mapping. */
  mapped = 0;
  /** @internal segments were mapped one by one, because the device bounces (sg_dma_is_swiotlb). */
  mappedEach = false;
  /** @internal length of each segment inside the IOVA, padding included; -1 = not in it. */
  readonly paddedBytes: Float64Array;

  /** @param capacity - most segments. */
  constructor(capacity: number) {
    this.physBytes = new Float64Array(capacity);
    this.lengthBytes = new Float64Array(capacity);
    this.dmaAddrBytes = new Float64Array(capacity);
    this.dmaLengthBytes = new Float64Array(capacity);
    this.dmaIsBus = new Uint8Array(capacity);
    this.paddedBytes = new Float64Array(capacity);
  }

  /**
   * Append a segment.
   *
   * @param provider - the peer whose BAR `physBytes` lies in; default ordinary memory.
   */
  push(physBytes: number, lengthBytes: number, provider: P2pProvider | null = null): void {
    if (this.count === this.physBytes.length)
      throw new RangeError(`scatter list of ${this.count} segments is full`);
    this.physBytes[this.count] = physBytes;
    this.lengthBytes[this.count] = lengthBytes;
    this.provider[this.count] = provider;
    this.count++;
  }

  /** @internal append a mapped segment. */
  emit(dmaAddrBytes: number, lengthBytes: number, isBus: boolean): void {
    this.dmaAddrBytes[this.mapped] = dmaAddrBytes;
    this.dmaLengthBytes[this.mapped] = lengthBytes;
    this.dmaIsBus[this.mapped] = isBus ? 1 : 0;
    this.mapped++;
  }
}
