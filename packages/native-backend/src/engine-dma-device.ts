import { DmaDevice, type DmaDeviceOptions, IOMMU_READ, IOMMU_WRITE, NO_PFN } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';
import type { DmaEngine } from './devices/dma-engine.ts';
import type { PinnedArena } from './pinned-arena.ts';

const PAGE = 4096;
/** What an engine moves to read or write a tag; the tag is its first eight bytes. */
const TAG_BYTES = 512;

/**
 * A device whose accesses are real: `readTag` and `writeTag` are DMA of an engine through the IOMMU, not a look at the
 * record of what was mapped. An access that the record refuses is refused without DMA, as a fault.
 */
export class EngineDmaDevice extends DmaDevice {
  readonly #engine: DmaEngine;

  constructor(machine: Machine, arena: PinnedArena, o: DmaDeviceOptions, engine: DmaEngine) {
    super(machine, arena, o);
    this.#engine = engine;
  }

  /** The tag of the page as the device reads it. */
  override readTag(dmaAddrBytes: number): number {
    if (this.translate(dmaAddrBytes, IOMMU_READ) === NO_PFN) return super.readTag(dmaAddrBytes);
    const bytes = this.#engine.read(BigInt(Math.floor(dmaAddrBytes / PAGE) * PAGE), TAG_BYTES);
    const tag = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
    return Number.isFinite(tag) && tag > 0 ? tag : 0;
  }

  /** The device writes the tag and 504 zero bytes behind it. */
  override writeTag(dmaAddrBytes: number, tag: number): boolean {
    if (this.translate(dmaAddrBytes, IOMMU_WRITE) === NO_PFN) return super.writeTag(dmaAddrBytes, tag);
    const bytes = new Uint8Array(TAG_BYTES);
    new DataView(bytes.buffer).setFloat64(0, tag, true);
    this.#engine.write(BigInt(Math.floor(dmaAddrBytes / PAGE) * PAGE), bytes);
    return true;
  }
}
