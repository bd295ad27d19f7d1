import type { AccessBits } from '../sys.ts';
import type { SimRegisters } from './sim-memory.ts';
import type { SimBus, SimPciModel } from './sim-pci.ts';

const BUFFER_AT = 0x40000n;
const BUFFER_BYTES = 4096;
const DMA_MS = 100;
const IRQ_DMA = 0x100;

/** QEMU's educational device (hw/misc/edu.c of 7.2): a 4 KiB buffer, a DMA engine that takes 100 ms, an interrupt. */
export class SimEdu implements SimPciModel, SimRegisters {
  readonly vendor = 0x1234;
  readonly device = 0x11e8;
  readonly classCode = 0x00ff00;
  readonly bars: readonly (SimRegisters | null)[] = [this, null, null, null, null, null];
  readonly msiVectors = 1;
  readonly msixVectors = 0;
  readonly configBytes = 256;
  readonly lengthBytes = 0x100000;
  #bus: SimBus | null = null;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #liveness = 0;
  #irqStatus = 0;
  #dma = { source: 0n, destination: 0n, count: 0n, command: 0n };
  /** When the running transfer is done; -1 when none runs. */
  #doneAtMs = -1;

  connect(bus: SimBus): void {
    this.#bus = bus;
  }

  reset(): void {
    this.#doneAtMs = -1;
    this.#irqStatus = 0;
    this.#dma = { source: 0n, destination: 0n, count: 0n, command: 0n };
  }

  read(offset: number, bits: AccessBits): bigint {
    const ones = 2n ** BigInt(bits) - 1n;
    // Registers below 0x80 accept 32 bits only, the others 32 or 64.
    if (bits < 32 || (offset < 0x80 && bits !== 32)) return ones;
    this.tick();
    switch (offset) {
      case 0x00:
        return 0x010000edn;
      case 0x04:
        return BigInt(this.#liveness);
      case 0x20:
        return 0n;
      case 0x24:
        return BigInt(this.#irqStatus);
      case 0x80:
        return this.#dma.source & ones;
      case 0x88:
        return this.#dma.destination & ones;
      case 0x90:
        return this.#dma.count & ones;
      case 0x98:
        return this.#dma.command & ones;
      default:
        return ones;
    }
  }

  write(offset: number, bits: AccessBits, value: bigint): void {
    if (bits < 32 || (offset < 0x80 && bits !== 32)) return;
    this.tick();
    const running = this.#doneAtMs >= 0;
    if (offset === 0x04) this.#liveness = Number(BigInt.asUintN(32, ~value));
    else if (offset === 0x60) this.#raise(Number(value));
    else if (offset === 0x64) this.#irqStatus &= ~Number(value);
    else if (running) return;
    else if (offset === 0x80) this.#dma.source = value;
    else if (offset === 0x88) this.#dma.destination = value;
    else if (offset === 0x90) this.#dma.count = value;
    else if (offset === 0x98 && (value & 1n) !== 0n) {
      this.#dma.command = value;
      this.#doneAtMs = this.#bus!.nowMs() + DMA_MS;
    }
  }

  /** Finish a transfer whose time has come. */
  tick(): void {
    if (this.#doneAtMs < 0 || this.#bus!.nowMs() < this.#doneAtMs) return;
    this.#doneAtMs = -1;
    const { source, destination, count, command } = this.#dma;
    const toMemory = (command & 2n) !== 0n;
    const at = Number((toMemory ? source : destination) - BUFFER_AT);
    // The real one compares with an end that is one byte short, and aborts the whole virtual machine.
    if (at < 0 || at + Number(count) >= BUFFER_BYTES) {
      throw new RangeError(
        `edu: a transfer of ${count} bytes at offset ${at} aborts QEMU 7.2 (at most 4095 bytes)`,
      );
    }
    const piece = this.#buffer.subarray(at, at + Number(count));
    if (toMemory) this.#bus!.dmaWrite(destination, piece);
    else this.#bus!.dmaRead(source, piece);
    this.#dma.command &= ~1n;
    if ((command & 4n) !== 0n) this.#raise(IRQ_DMA);
  }

  #raise(value: number): void {
    this.#irqStatus |= value;
    if (this.#irqStatus !== 0) this.#bus!.interrupt(0);
  }
}
