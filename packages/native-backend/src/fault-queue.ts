import { EAGAIN } from '@gpusvm/kernel';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import {
  IOMMU_HWPT_PAGE_RESPONSE,
  IOMMU_HWPT_PGFAULT,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
} from './uapi/iommufd.ts';
import { decode, encoded, sizeOf, type Values } from './uapi/layout.ts';

/** A device asks for a page; answer it by its cookie. */
export type PageRequest = Values<typeof IOMMU_HWPT_PGFAULT>;

const BATCH = 16;

/** Page requests of devices whose page table was allocated with this queue. */
export class FaultQueue implements Disposable {
  readonly iommufd: Iommufd;
  readonly id: number;
  readonly fd: number;
  #live = true;

  /** @internal use {@link Iommufd.allocFaultQueue}. */
  constructor(iommufd: Iommufd, id: number, fd: number) {
    this.iommufd = iommufd;
    this.id = id;
    this.fd = fd;
    iommufd.owned.add(this);
  }

  /** Wait for a request without blocking the event loop. @returns whether one is there. */
  async wait(timeoutMs: number): Promise<boolean> {
    return check('poll', await this.iommufd.sys.pollAsync(this.fd, timeoutMs), { fd: this.fd }) > 0;
  }

  /** Requests that are there now, at most 16; none when nothing waits. Does not block. */
  read(): PageRequest[] {
    const { sys } = this.iommufd;
    if (sys.poll(this.fd, 0) <= 0) return [];
    const size = sizeOf(IOMMU_HWPT_PGFAULT);
    const buffer = new Uint8Array(BATCH * size);
    const bytes = sys.read(this.fd, buffer, null);
    if (bytes === -EAGAIN) return [];
    check('read fault queue', bytes, { fd: this.fd });
    return Array.from({ length: bytes / size }, (_, i) => decode(IOMMU_HWPT_PGFAULT, buffer, i * size));
  }

  /**
   * Answer a request.
   *
   * @param resolved - the page is mapped now and the device tries again; otherwise its access fails.
   * @throws KernelError EINVAL when the cookie is not open.
   */
  respond(cookie: number, resolved: boolean): void {
    const code = resolved ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID;
    const written = this.iommufd.sys.write(
      this.fd,
      encoded(IOMMU_HWPT_PAGE_RESPONSE, { cookie, code }),
      null,
    );
    check('write fault queue', written, { cookie, code });
  }

  /** Close the descriptor and destroy the object; page tables that use it have to be gone. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    check('close', this.iommufd.sys.close(this.fd), { fd: this.fd });
    this.iommufd.destroyObject(this.id);
    this.iommufd.owned.delete(this);
  }
}
