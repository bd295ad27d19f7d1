/** Memory that an engine uses for itself: mapped readable and writable where the device is attached. */
export interface EngineWindow {
  /** Bytes of the window as the CPU sees them. */
  readonly bytes: Uint8Array;
  /** Read 16 bits at an offset in one load, for what the device changes meanwhile. */
  readonly read16: (offsetBytes: number) => number;
  /** The same bytes as the device sees them. */
  readonly iova: bigint;
}

/** A device that reads and writes memory by DMA on demand. Calls block until the transfer is over. */
export interface DmaEngine {
  readonly name: string;
  /** Largest transfer. */
  readonly maxBytes: number;
  /** Transfers are multiples of this. */
  readonly granuleBytes: number;
  /**
   * The device reads memory.
   *
   * @returns what the device got, brought back through the window. What does not translate reads as the device
   *   sees it (0 on QEMU).
   */
  read(iova: bigint, lengthBytes: number): Uint8Array;
  /** The device writes memory; bytes whose page does not translate are lost. */
  write(iova: bigint, from: Uint8Array): void;
}
