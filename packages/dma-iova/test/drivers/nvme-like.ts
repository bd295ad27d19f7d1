import {
  DMA_MAPPING_ERROR,
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaUnmapPhys,
  dmaUseIova,
} from '../../src/index.ts';

/** A segment of a block request: physically contiguous. */
export interface Segment {
  readonly physBytes: number;
  readonly sizeBytes: number;
}

/**
 * How blk-mq and nvme drive the API: one reservation for the request, links at a running offset, one sync, one
 * destroy of the whole; without an IOMMU every segment by itself.
 */
export class RequestMapping {
  readonly dev: DmaDevice;
  readonly dir: DmaDataDirection;
  readonly state = new DmaIovaState();
  readonly segments: { dmaAddrBytes: number; sizeBytes: number }[] = [];
  mapped = 0;

  constructor(dev: DmaDevice, dir: DmaDataDirection) {
    this.dev = dev;
    this.dir = dir;
  }

  /** False on failure; then nothing is mapped. */
  map(segments: readonly Segment[]): boolean {
    const total = segments.reduce((sum, s) => sum + s.sizeBytes, 0);
    if (!dmaIovaTryAlloc(this.dev, this.state, segments[0]!.physBytes, total)) return this.#mapEach(segments);
    for (const { physBytes, sizeBytes } of segments) {
      if (dmaIovaLink(this.dev, this.state, physBytes, this.mapped, sizeBytes, this.dir, 0) !== 0) {
        this.unmap();
        return false;
      }
      this.mapped += sizeBytes;
    }
    if (dmaIovaSync(this.dev, this.state, 0, this.mapped) !== 0) {
      this.unmap();
      return false;
    }
    this.segments.push({ dmaAddrBytes: this.state.addr, sizeBytes: total });
    return true;
  }

  unmap(): void {
    if (dmaUseIova(this.state)) {
      // Nothing mapped is a plain free of the reservation.
      dmaIovaDestroy(this.dev, this.state, this.mapped, this.dir, 0);
    } else {
      for (const s of this.segments) dmaUnmapPhys(this.dev, s.dmaAddrBytes, s.sizeBytes, this.dir, 0);
    }
    this.segments.length = 0;
    this.mapped = 0;
  }

  #mapEach(segments: readonly Segment[]): boolean {
    for (const { physBytes, sizeBytes } of segments) {
      const dmaAddrBytes = dmaMapPhys(this.dev, physBytes, sizeBytes, this.dir, 0);
      if (dmaAddrBytes === DMA_MAPPING_ERROR) {
        this.unmap();
        return false;
      }
      this.segments.push({ dmaAddrBytes, sizeBytes });
    }
    return true;
  }
}
