import type { SimRegisters } from './sim-memory.ts';

/** What a device model can do to the world: DMA, interrupts, and look at the clock. */
export interface SimBus {
  /**
   * The device reads memory.
   *
   * @returns false after a DMA fault; what was not translated reads as 0, as QEMU's unassigned memory does.
   */
  dmaRead(iova: bigint, into: Uint8Array): boolean;
  /** The device writes memory; bytes whose page does not translate are lost. @returns false after a fault. */
  dmaWrite(iova: bigint, from: Uint8Array): boolean;
  /** Raise an MSI or MSI-X vector. */
  interrupt(vector: number): void;
  /** Simulated milliseconds since the start. */
  nowMs(): number;
}

/** A PCI device model: registers that react. */
export interface SimPciModel {
  readonly vendor: number;
  readonly device: number;
  /** 24-bit class code. */
  readonly classCode: number;
  /** BARs by number; null where there is none. */
  readonly bars: readonly (SimRegisters | null)[];
  readonly msiVectors: number;
  readonly msixVectors: number;
  /** Length of the configuration space: 256, or 4096 for PCI Express. */
  readonly configBytes: number;
  /** Wire the device up; once. */
  connect(bus: SimBus): void;
  /** Time has passed: finish what is due. */
  tick?(): void;
  /** Function level reset. */
  reset(): void;
}

/** A PCI function in the simulated machine. */
export interface SimPciFunction {
  /** `0000:00:04.0`. */
  readonly bdf: string;
  readonly iommuGroup: number;
  readonly model: SimPciModel;
  /** Kernel driver that takes it by default; null for none. */
  readonly kernelDriver: string | null;
  readonly config: Uint8Array;
  /** Driver that has it now. */
  driver: string | null;
  driverOverride: string;
  /** Number of its character device while vfio-pci has it; -1 otherwise. */
  vfioNumber: number;
}

const COMMAND = 4;
const BUS_MASTER = 4;

/** @internal A function with its configuration space. */
export function pciFunction(
  bdf: string,
  iommuGroup: number,
  model: SimPciModel,
  kernelDriver: string | null,
): SimPciFunction {
  const config = new Uint8Array(model.configBytes);
  const view = new DataView(config.buffer);
  view.setUint16(0, model.vendor, true);
  view.setUint16(2, model.device, true);
  view.setUint32(8, model.classCode << 8, true);
  return {
    bdf,
    iommuGroup,
    model,
    kernelDriver,
    config,
    driver: kernelDriver,
    driverOverride: '(null)',
    vfioNumber: -1,
  };
}

/** @internal Whether the function may issue DMA (Bus Master Enable). */
export function isBusMaster(fn: SimPciFunction): boolean {
  return (fn.config[COMMAND]! & BUS_MASTER) !== 0;
}

/** @internal Write to the configuration space: only the command register is writable here. */
export function writeConfig(fn: SimPciFunction, offset: number, from: Uint8Array): void {
  for (const [i, byte] of from.entries()) {
    const at = offset + i;
    if (at === COMMAND || at === COMMAND + 1) fn.config[at] = byte;
  }
}
