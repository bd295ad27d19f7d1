import { invoke } from './invoke.ts';
import { check } from './kernel-error.ts';
import {
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  IOMMUFD_VEVENT_HEADER,
} from './uapi/iommufd-virtual.ts';
import { decode, sizeOf } from './uapi/layout.ts';
import type { Viommu } from './viommu.ts';

/** Which events of a guest's IOMMU a queue collects. */
export interface EventQueueOptions {
  /** IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 and so on; one queue a type. */
  readonly type: number;
  /** Events that wait at most; later ones are lost. */
  readonly depth: number;
  /** Bytes of an event of this type, without its header. */
  readonly eventBytes: number;
}

/** An event for the guest, or the place where some were lost. */
export interface ViommuEvent {
  /** Counts events, lost ones too. */
  readonly sequence: number;
  /** Null: events were lost here. */
  readonly data: Uint8Array | null;
}

const BATCH = 16;

/** Events that the hardware reports for devices of a guest. */
export class EventQueue implements Disposable {
  readonly viommu: Viommu;
  readonly id: number;
  readonly fd: number;
  readonly #eventBytes: number;
  #live = true;

  /** @internal use {@link Viommu.allocEventQueue}. */
  static alloc(viommu: Viommu, options: EventQueueOptions): EventQueue {
    const { iommufd } = viommu;
    const values = { viommu_id: viommu.id, type: options.type, veventq_depth: options.depth };
    const { result, out } = invoke(iommufd.sys, iommufd.fd, IOMMU_VEVENTQ_ALLOC, values);
    check(IOMMU_VEVENTQ_ALLOC.name, result, values);
    return new EventQueue(viommu, out.out_veventq_id, out.out_veventq_fd, options.eventBytes);
  }

  private constructor(viommu: Viommu, id: number, fd: number, eventBytes: number) {
    this.viommu = viommu;
    this.id = id;
    this.fd = fd;
    this.#eventBytes = eventBytes;
    viommu.dependents.add(this);
  }

  /** Wait for an event without blocking the event loop. @returns whether one is there. */
  async wait(timeoutMs: number): Promise<boolean> {
    const { sys } = this.viommu.iommufd;
    return check('poll', await sys.pollAsync(this.fd, timeoutMs), { fd: this.fd }) > 0;
  }

  /** Events that are there now, at most 16 of them; none when nothing waits. Does not block. */
  read(): ViommuEvent[] {
    const header = sizeOf(IOMMUFD_VEVENT_HEADER);
    const buffer = new Uint8Array(BATCH * (header + this.#eventBytes));
    const { sys } = this.viommu.iommufd;
    const bytes = check('read event queue', sys.read(this.fd, buffer, null), { fd: this.fd });
    const events: ViommuEvent[] = [];
    for (let at = 0; at < bytes; ) {
      const { flags, sequence } = decode(IOMMUFD_VEVENT_HEADER, buffer, at);
      at += header;
      const lost = (flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) !== 0;
      events.push({ sequence, data: lost ? null : buffer.slice(at, at + this.#eventBytes) });
      if (!lost) at += this.#eventBytes;
    }
    return events;
  }

  /** Close the descriptor and destroy the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    const { iommufd } = this.viommu;
    check('close', iommufd.sys.close(this.fd), { fd: this.fd });
    iommufd.destroyObject(this.id);
    this.viommu.dependents.delete(this);
  }
}
