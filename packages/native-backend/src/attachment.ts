/** @internal What an address space or page table has to end before it goes: a device, or one of its PASIDs. */
export interface Attachment {
  detach(): void;
}
