import { EINVAL, type Errno } from '@gpusvm/kernel';
import type { AccessBits, SysMemory } from '../sys.ts';
import type { SimAddressSpace, SimRegion } from './address-space.ts';

/** @internal Check a register access as the addon does. */
export function checkAccess(lengthBytes: number, offsetBytes: number, bits: AccessBits): void {
  const width = bits / 8;
  if (offsetBytes % width !== 0 || offsetBytes < 0 || offsetBytes + width > lengthBytes) {
    throw new RangeError('the offset is unaligned or outside of the mapping');
  }
}

/** @internal Check the value of a store as the addon does. */
export function checkValue(bits: AccessBits, value: number | bigint): bigint {
  const wide = BigInt(value);
  if (BigInt.asUintN(bits, wide) !== wide) throw new RangeError('the value does not fit the register');
  return wide;
}

/** Anonymous memory of the simulated process. */
export class SimMemory implements SysMemory {
  readonly lengthBytes: number;
  readonly #space: SimAddressSpace;
  readonly #region: SimRegion;

  constructor(space: SimAddressSpace, region: SimRegion) {
    this.#space = space;
    this.#region = region;
    this.lengthBytes = region.lengthBytes;
  }

  /** Whether this is memory of that process. */
  belongsTo(space: SimAddressSpace): boolean {
    return this.#space === space;
  }

  get address(): bigint {
    return this.#region.live ? BigInt(this.#region.start) : 0n;
  }

  get bytes(): Uint8Array {
    if (!this.#region.live) throw new RangeError('the memory has been unmapped');
    return this.#region.backing;
  }

  read(offsetBytes: number, bits: 8 | 16 | 32): number;
  read(offsetBytes: number, bits: 64): bigint;
  read(offsetBytes: number, bits: AccessBits): number | bigint {
    const view = this.#view(offsetBytes, bits);
    if (bits === 64) return view.getBigUint64(offsetBytes, true);
    if (bits === 32) return view.getUint32(offsetBytes, true);
    return bits === 16 ? view.getUint16(offsetBytes, true) : view.getUint8(offsetBytes);
  }

  write(offsetBytes: number, bits: AccessBits, value: number | bigint): void {
    const view = this.#view(offsetBytes, bits);
    const wide = checkValue(bits, value);
    if (bits === 64) view.setBigUint64(offsetBytes, wide, true);
    else if (bits === 32) view.setUint32(offsetBytes, Number(wide), true);
    else if (bits === 16) view.setUint16(offsetBytes, Number(wide), true);
    else view.setUint8(offsetBytes, Number(wide));
  }

  adviseHuge(): Errno {
    return this.#region.live ? 0 : -EINVAL;
  }

  unmap(): Errno {
    if (!this.#region.live) return -EINVAL;
    this.#space.unmap(this.#region);
    return 0;
  }

  #view(offsetBytes: number, bits: AccessBits): DataView {
    const { buffer, byteOffset, byteLength } = this.bytes;
    checkAccess(this.lengthBytes, offsetBytes, bits);
    return new DataView(buffer, byteOffset, byteLength);
  }
}

/** What a device model does with accesses to its registers. */
export interface SimRegisters {
  readonly lengthBytes: number;
  read(offsetBytes: number, bits: AccessBits): bigint;
  write(offsetBytes: number, bits: AccessBits, value: bigint): void;
}

/** A mapped BAR: loads and stores reach the device model. */
export class SimBar implements SysMemory {
  readonly lengthBytes: number;
  #registers: SimRegisters | null;

  constructor(registers: SimRegisters) {
    this.#registers = registers;
    this.lengthBytes = registers.lengthBytes;
  }

  /** Registers have no address that could be mapped for DMA here. */
  get address(): bigint {
    return 0n;
  }

  get bytes(): Uint8Array {
    throw new RangeError('registers of a simulated device have no bytes: use read and write');
  }

  read(offsetBytes: number, bits: 8 | 16 | 32): number;
  read(offsetBytes: number, bits: 64): bigint;
  read(offsetBytes: number, bits: AccessBits): number | bigint {
    const value = this.#live(offsetBytes, bits).read(offsetBytes, bits);
    return bits === 64 ? value : Number(value);
  }

  write(offsetBytes: number, bits: AccessBits, value: number | bigint): void {
    this.#live(offsetBytes, bits).write(offsetBytes, bits, checkValue(bits, value));
  }

  adviseHuge(): Errno {
    return -EINVAL;
  }

  unmap(): Errno {
    if (this.#registers === null) return -EINVAL;
    this.#registers = null;
    return 0;
  }

  #live(offsetBytes: number, bits: AccessBits): SimRegisters {
    if (this.#registers === null) throw new RangeError('the mapping has been unmapped');
    checkAccess(this.lengthBytes, offsetBytes, bits);
    return this.#registers;
  }
}
