import { EINVAL } from '@gpusvm/kernel';
import { ENOTTY } from '../errno.ts';
import { SimRegion } from './address-space.ts';
import type { SimFile } from './sim-objects.ts';

/** A file in memory (memfd_create): mapped by processes and by iommufd, it lives as long as one of them has it. */
export class SimMemfd implements SimFile {
  /** Its pages, at file offsets. */
  readonly region: SimRegion;

  constructor(lengthBytes: number) {
    this.region = new SimRegion(0, lengthBytes, 'rw');
  }

  ioctl(): number {
    return -ENOTTY;
  }

  read(into: Uint8Array, offsetBytes: number | null): number {
    if (offsetBytes === null) return -EINVAL;
    const piece = this.region.backing.subarray(offsetBytes, offsetBytes + into.length);
    into.set(piece);
    return piece.length;
  }

  write(from: Uint8Array, offsetBytes: number | null): number {
    if (offsetBytes === null || offsetBytes + from.length > this.region.lengthBytes) return -EINVAL;
    this.region.backing.set(from, offsetBytes);
    return from.length;
  }

  isReadable(): boolean {
    return true;
  }

  close(): void {}
}
