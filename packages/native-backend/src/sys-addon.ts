import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { EINVAL, type Errno } from '@gpusvm/kernel';
import { type Addon, type AddonUnavailable, loadAddon } from './addon.ts';
import { attempt, LinuxFiles } from './linux-files.ts';
import type { AccessBits, MmapRequest, Sys, SysMemory } from './sys.ts';

const PROT = { none: 0, r: 1, rw: 3 } as const;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;

/**
 * The system calls of this machine, or the reason why they cannot be had. Importing the package never fails; this is
 * where a platform without iommufd says so.
 */
export function linuxSys(): { readonly available: true; readonly sys: Sys } | AddonUnavailable {
  const result = loadAddon();
  return result.available ? { available: true, sys: new LinuxSys(result.addon) } : result;
}

class LinuxSys extends LinuxFiles implements Sys {
  readonly kind = 'linux';
  readonly #addon: Addon;
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  constructor(addon: Addon) {
    super();
    this.#addon = addon;
  }

  open(path: string): number {
    return attempt(() => openSync(path, constants.O_RDWR));
  }

  close(fd: number): Errno {
    return attempt(() => (closeSync(fd), 0));
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    return this.#addon.ioctl(fd, request, argument);
  }

  ioctlAsync(fd: number, request: number, argument: Uint8Array): Promise<number> {
    return this.#addon.ioctlAsync(fd, request, argument);
  }

  mmap(request: MmapRequest): SysMemory | Errno {
    const { lengthBytes, fd = -1, offsetBytes = 0, access = 'rw' } = request;
    const flags = request.fd === undefined ? MAP_PRIVATE_ANONYMOUS : MAP_SHARED;
    const mapped = this.#addon.mmap(lengthBytes, PROT[access], flags, fd, offsetBytes);
    return typeof mapped === 'number' ? mapped : new LinuxMemory(this.#addon, lengthBytes, mapped);
  }

  owns(memory: SysMemory): boolean {
    return memory instanceof LinuxMemory;
  }

  read(fd: number, into: Uint8Array, offsetBytes: number | null): number {
    return attempt(() => readSync(fd, into, 0, into.length, offsetBytes));
  }

  write(fd: number, from: Uint8Array, offsetBytes: number | null): number {
    return attempt(() => writeSync(fd, from, 0, from.length, offsetBytes));
  }

  memfd(lengthBytes: number): number {
    return this.#addon.memfd(lengthBytes);
  }

  eventfd(): number {
    return this.#addon.eventfd();
  }

  poll(fd: number, timeoutMs: number): number {
    return this.#addon.poll(fd, timeoutMs);
  }

  pollAsync(fd: number, timeoutMs: number): Promise<number> {
    return this.#addon.pollAsync(fd, timeoutMs);
  }

  sleepMs(ms: number): void {
    Atomics.wait(this.#never, 0, 0, ms);
  }
}

class LinuxMemory implements SysMemory {
  readonly lengthBytes: number;
  readonly #addon: Addon;
  readonly #handle: object;
  readonly #buffer: ArrayBuffer;
  readonly #bytes: Uint8Array;
  #address: bigint;

  constructor(
    addon: Addon,
    lengthBytes: number,
    mapped: { readonly buffer: ArrayBuffer; readonly handle: object; readonly address: bigint },
  ) {
    this.#addon = addon;
    this.lengthBytes = lengthBytes;
    this.#handle = mapped.handle;
    this.#buffer = mapped.buffer;
    this.#bytes = new Uint8Array(mapped.buffer);
    this.#address = mapped.address;
  }

  get address(): bigint {
    return this.#address;
  }

  get bytes(): Uint8Array {
    if (this.#address === 0n) throw new RangeError('the memory has been unmapped');
    return this.#bytes;
  }

  read(offsetBytes: number, bits: 8 | 16 | 32): number;
  read(offsetBytes: number, bits: 64): bigint;
  read(offsetBytes: number, bits: AccessBits): number | bigint {
    return this.#addon.read(this.#handle, offsetBytes, bits);
  }

  write(offsetBytes: number, bits: AccessBits, value: number | bigint): void {
    this.#addon.write(this.#handle, offsetBytes, bits, value);
  }

  adviseHuge(on: boolean): Errno {
    return this.#addon.madvise(this.#handle, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }

  unmap(): Errno {
    if (this.#address === 0n) return -EINVAL;
    const err = this.#addon.munmap(this.#handle, this.#buffer);
    if (err === 0) this.#address = 0n;
    return err;
  }
}
