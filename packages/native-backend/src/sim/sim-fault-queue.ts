import { EAGAIN, EINVAL } from '@gpusvm/kernel';
import { ENOTTY } from '../errno.ts';
import { IOMMU_HWPT_PAGE_RESPONSE, IOMMU_HWPT_PGFAULT } from '../uapi/iommufd.ts';
import { decode, encode, type Input, sizeOf } from '../uapi/layout.ts';
import type { SimFile } from './sim-objects.ts';

/** What happened to a page request, for tests and models: its cookie and how it was answered. */
export interface SimFaultAnswer {
  readonly cookie: number;
  readonly code: number;
}

/** The descriptor of IOMMU_FAULT_QUEUE_ALLOC: page requests are read from it and answered by writing to it. */
export class SimFaultQueue implements SimFile {
  readonly #waiting: Input<typeof IOMMU_HWPT_PGFAULT>[] = [];
  /** Cookies that were read and not answered yet. */
  readonly #open = new Set<number>();
  readonly answers: SimFaultAnswer[] = [];
  readonly #onClose: () => void;
  #nextCookie = 0;

  /** @param onClose - the queue's object is not in use any more. */
  constructor(onClose: () => void = () => undefined) {
    this.#onClose = onClose;
  }

  /** A device asks for a page. */
  report(fault: Input<typeof IOMMU_HWPT_PGFAULT>): void {
    this.#waiting.push(fault);
  }

  /** Whole records only, as many as fit; the real queue also blocks, here -EAGAIN says that there is none. */
  read(into: Uint8Array): number {
    const size = sizeOf(IOMMU_HWPT_PGFAULT);
    if (into.length % size !== 0) return -EINVAL;
    if (this.#waiting.length === 0) return -EAGAIN;
    let done = 0;
    while (done < into.length && this.#waiting.length > 0) {
      const cookie = this.#freeCookie();
      encode(IOMMU_HWPT_PGFAULT, { ...this.#waiting.shift()!, cookie }, into, done);
      this.#open.add(cookie);
      done += size;
    }
    return done;
  }

  write(from: Uint8Array): number {
    const size = sizeOf(IOMMU_HWPT_PAGE_RESPONSE);
    if (from.length % size !== 0) return -EINVAL;
    let done = 0;
    for (; done < from.length; done += size) {
      const { cookie, code } = decode(IOMMU_HWPT_PAGE_RESPONSE, from, done);
      if (code > 1 || !this.#open.delete(cookie)) break;
      this.answers.push({ cookie, code });
    }
    return done === 0 ? -EINVAL : done;
  }

  ioctl(): number {
    return -ENOTTY;
  }

  isReadable(): boolean {
    return this.#waiting.length > 0;
  }

  close(): void {
    this.#onClose();
  }

  /** The object is destroyed: everything that waits is answered with INVALID. */
  destroy(): void {
    this.#waiting.length = 0;
    for (const cookie of this.#open) this.answers.push({ cookie, code: 1 });
    this.#open.clear();
  }

  /** xa_alloc without a first id: the lowest free number from 0. */
  #freeCookie(): number {
    this.#nextCookie = 0;
    while (this.#open.has(this.#nextCookie)) this.#nextCookie++;
    return this.#nextCookie;
  }
}
