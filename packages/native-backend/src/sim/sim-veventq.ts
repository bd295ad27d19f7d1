import { EINVAL } from '@gpusvm/kernel';
import { ENOTTY } from '../errno.ts';
import { encode, sizeOf } from '../uapi/layout.ts';
import { IOMMU_VEVENTQ_FLAG_LOST_EVENTS, IOMMUFD_VEVENT_HEADER } from '../uapi/iommufd-virtual.ts';
import type { SimFile } from './sim-objects.ts';

const HEADER = sizeOf(IOMMUFD_VEVENT_HEADER);
const MAX_SEQUENCE = 0x7fffffff;

interface Event {
  readonly sequence: number;
  /** Null: a header that says that events were lost. */
  readonly data: Uint8Array | null;
}

/** The descriptor of IOMMU_VEVENTQ_ALLOC. A full queue ends in one header of lost events, which moves with every loss. */
export class SimVeventq implements SimFile {
  readonly #depth: number;
  readonly #events: Event[] = [];
  readonly #onClose: () => void;
  #sequence = 0;

  /** @param onClose - the queue's object is not in use any more. */
  constructor(depth: number, onClose: () => void) {
    this.#depth = depth;
    this.#onClose = onClose;
  }

  /** iommufd_viommu_report_event. */
  report(data: Uint8Array): void {
    const lost = this.#events.at(-1)?.data === null;
    const waiting = this.#events.length - (lost ? 1 : 0);
    if (lost) this.#events.pop();
    this.#events.push({ sequence: this.#sequence, data: waiting === this.#depth ? null : data });
    this.#sequence = this.#sequence === MAX_SEQUENCE ? 0 : this.#sequence + 1;
  }

  /** Whole events, as many as fit. Does not block: 0 bytes when there is none. */
  read(into: Uint8Array): number {
    if (into.length < HEADER) return -EINVAL;
    let done = 0;
    for (let next = this.#events[0]; next !== undefined; next = this.#events[0]) {
      const bytes = HEADER + (next.data?.length ?? 0);
      if (done + bytes > into.length) return done === 0 ? -EINVAL : done;
      const flags = next.data === null ? IOMMU_VEVENTQ_FLAG_LOST_EVENTS : 0;
      encode(IOMMUFD_VEVENT_HEADER, { flags, sequence: next.sequence }, into, done);
      if (next.data !== null) into.set(next.data, done + HEADER);
      this.#events.shift();
      done += bytes;
    }
    return done;
  }

  write(): number {
    return -EINVAL;
  }

  ioctl(): number {
    return -ENOTTY;
  }

  isReadable(): boolean {
    return this.#events.length > 0;
  }

  close(): void {
    this.#onClose();
  }

  /** The object is destroyed: nothing can be read any more. */
  clear(): void {
    this.#events.length = 0;
  }
}
