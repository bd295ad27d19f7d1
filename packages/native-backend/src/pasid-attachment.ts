import type { Attachment } from './attachment.ts';

/** The device whose PASID it is. */
interface PasidOwner {
  detachPasid(pasid: number): void;
}

/** A PASID of a device with an address space of its own, until it is detached or its page table goes. */
export class PasidAttachment implements Attachment, Disposable {
  readonly pasid: number;
  readonly #device: PasidOwner;
  readonly #attachments: { add(entry: Attachment): unknown; delete(entry: Attachment): boolean };
  #live = true;

  /** @internal use {@link VfioDevice.attachPasid}. */
  constructor(
    device: PasidOwner,
    pasid: number,
    attachments: { add(entry: Attachment): unknown; delete(entry: Attachment): boolean },
  ) {
    this.#device = device;
    this.pasid = pasid;
    this.#attachments = attachments;
    attachments.add(this);
  }

  /** Block the requests with this PASID. */
  detach(): void {
    if (this.#live) this.#device.detachPasid(this.pasid);
  }

  [Symbol.dispose](): void {
    this.detach();
  }

  /** @internal it is detached, or attached anew. */
  forget(): void {
    this.#live = false;
    this.#attachments.delete(this);
  }
}
