import type { Sys, SysMemory } from '../sys.ts';
import type { VfioDevice } from '../vfio-device.ts';
import type { DmaEngine, EngineWindow } from './dma-engine.ts';

export const EDU_VENDOR: 0x1234 = 0x1234;
export const EDU_DEVICE: 0x11e8 = 0x11e8;

const ID = 0x00;
const LIVENESS = 0x04;
const IRQ_STATUS = 0x24;
const IRQ_RAISE = 0x60;
const IRQ_ACKNOWLEDGE = 0x64;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;
const RUN = 1;
const TO_MEMORY = 2;
const BUFFER_AT = 0x40000;
/** QEMU 7.2 aborts at 4096, its range check is off by one. */
const MAX_BYTES = 4095;
const TIMEOUT_MS = 10_000;

/** QEMU's educational device: DMA between memory and a buffer of 4 KiB inside of the device. 100 ms a transfer. */
export class Edu implements DmaEngine {
  readonly name = 'edu';
  readonly maxBytes: number = MAX_BYTES;
  readonly granuleBytes = 1;
  readonly #sys: Sys;
  readonly #bar: SysMemory;
  readonly #window: EngineWindow;

  /**
   * @param device - bound; attached before the first transfer.
   * @param window - 4095 bytes for data.
   * @throws Error when the device does not answer as an edu.
   */
  constructor(device: VfioDevice, window: EngineWindow) {
    this.#sys = device.iommufd.sys;
    this.#window = window;
    device.enableBusMaster();
    this.#bar = device.mapBar(0);
    const id = this.#bar.read(ID, 32);
    if ((id & 0xff) !== 0xed)
      throw new Error(`${device.bdf} has id 0x${id.toString(16)}: that is no edu device`);
  }

  /** Write a value to the liveness register and read its complement back: the registers work. */
  invert(value: number): number {
    this.#bar.write(LIVENESS, 32, value);
    return this.#bar.read(LIVENESS, 32);
  }

  /** Raise the interrupt. */
  raise(bits: number): void {
    this.#bar.write(IRQ_RAISE, 32, bits);
  }

  /** Interrupt causes that are not acknowledged; they are acknowledged by this. */
  takeIrqStatus(): number {
    const bits = this.#bar.read(IRQ_STATUS, 32);
    this.#bar.write(IRQ_ACKNOWLEDGE, 32, bits);
    return bits;
  }

  read(iova: bigint, lengthBytes: number): Uint8Array {
    this.#transfer(iova, lengthBytes, 0);
    this.#transfer(this.#window.iova, lengthBytes, TO_MEMORY);
    return this.#window.bytes.slice(0, lengthBytes);
  }

  write(iova: bigint, from: Uint8Array): void {
    this.#window.bytes.set(from);
    this.#transfer(this.#window.iova, from.length, 0);
    this.#transfer(iova, from.length, TO_MEMORY);
  }

  /** Begin to write what is in the device's buffer to memory and return at once: for tests of what happens meanwhile. */
  start(iova: bigint, lengthBytes: number): void {
    this.#begin(iova, lengthBytes, TO_MEMORY);
  }

  #transfer(iova: bigint, lengthBytes: number, direction: number): void {
    this.#begin(iova, lengthBytes, direction);
    for (let waited = 0; (this.#bar.read(DMA_COMMAND, 64) & 1n) !== 0n; waited++) {
      if (waited > TIMEOUT_MS) throw new Error(`edu: a transfer did not end within ${TIMEOUT_MS} ms`);
      this.#sys.sleepMs(1);
    }
  }

  #begin(iova: bigint, lengthBytes: number, direction: number): void {
    if (!(lengthBytes > 0 && lengthBytes <= MAX_BYTES))
      throw new RangeError(`edu transfers 1 to ${MAX_BYTES} bytes, not ${lengthBytes}`);
    const bar = this.#bar;
    bar.write(DMA_SOURCE, 64, direction === 0 ? iova : BUFFER_AT);
    bar.write(DMA_DESTINATION, 64, direction === 0 ? BUFFER_AT : iova);
    bar.write(DMA_COUNT, 64, lengthBytes);
    bar.write(DMA_COMMAND, 64, RUN | direction);
  }
}
