import type { Errno } from '@gpusvm/kernel';

/** Width of a register access in bits. */
export type AccessBits = 8 | 16 | 32 | 64;

/** Where memory comes from: anonymous, or a region of a device's file descriptor. */
export interface MmapRequest {
  readonly lengthBytes: number;
  /** Descriptor of a device or of a file in memory; without it the memory is anonymous, private and zero. */
  readonly fd?: number;
  /** Offset in the descriptor. */
  readonly offsetBytes?: number;
  /** Default readable and writable. */
  readonly access?: 'rw' | 'r' | 'none';
}

/**
 * Memory outside of the JavaScript heap: what a device may be given, and device registers. Only {@link Sys.mmap}
 * makes it, so no address of an ordinary buffer can be mapped for DMA.
 */
export interface SysMemory {
  /** Address in the process; 0n after {@link unmap}. */
  readonly address: bigint;
  readonly lengthBytes: number;
  /**
   * The bytes. Not for device registers: nothing guarantees the width of an access.
   *
   * @throws RangeError after {@link unmap}, and for registers of a simulated device.
   */
  readonly bytes: Uint8Array;
  /**
   * One load of exactly this width; 64 bits give a bigint.
   *
   * @throws RangeError when the offset is unaligned or outside, or the memory is unmapped.
   */
  read(offsetBytes: number, bits: 8 | 16 | 32): number;
  read(offsetBytes: number, bits: 64): bigint;
  /** One store of exactly this width. @throws RangeError as {@link read}, and when the value does not fit. */
  write(offsetBytes: number, bits: AccessBits, value: number | bigint): void;
  /** Ask for huge pages (MADV_HUGEPAGE) or for none (MADV_NOHUGEPAGE). 0, or -EINVAL when the kernel has none. */
  adviseHuge(on: boolean): Errno;
  /**
   * Give the memory back (munmap); the bytes detach. What an IOMMU has pinned stays reachable for the device.
   *
   * @returns 0; -EINVAL when it is unmapped already; -EBUSY when the bytes were transferred away.
   */
  unmap(): Errno;
}

/** Small files of /proc and /sys. Results are a value or a negated errno. */
export interface SysFiles {
  /** Whole text of a small file, or a negated errno. */
  readText(path: string): string | Errno;
  writeText(path: string, text: string): Errno;
  /** Names in a folder, sorted, or a negated errno. */
  list(path: string): readonly string[] | Errno;
  /** Target of a symbolic link, or a negated errno. */
  readLink(path: string): string | Errno;
  /** Whether this process may open a file for reading and writing: 0 or a negated errno. */
  access(path: string): Errno;
}

/**
 * The system calls that this package needs. Two implementations: the addon on Linux, and `SimSys`, which answers
 * the same request numbers and bytes in memory. All results are not negative, or a negated errno; nothing throws
 * but misuse (a wrong type, a size field larger than its buffer).
 */
export interface Sys extends SysFiles {
  /** `linux` or `sim`. */
  readonly kind: 'linux' | 'sim';
  /** Open for reading and writing. @returns a descriptor. */
  open(path: string): number;
  close(fd: number): Errno;
  /** The structure is read and written in place; its first u32 is its size and must not exceed the buffer. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** The same in another thread, for calls that pin much memory. */
  ioctlAsync(fd: number, request: number, argument: Uint8Array): Promise<number>;
  mmap(request: MmapRequest): SysMemory | Errno;
  /** Whether memory was made by {@link mmap} of this object: only such memory may be mapped for DMA. */
  owns(memory: SysMemory): boolean;
  /** @param offsetBytes - position, or null for a stream. @returns bytes read; -EAGAIN when there are none yet. */
  read(fd: number, into: Uint8Array, offsetBytes: number | null): number;
  write(fd: number, from: Uint8Array, offsetBytes: number | null): number;
  /** A file in memory of this length, for {@link mmap} and IOMMU_IOAS_MAP_FILE (memfd_create). @returns a descriptor. */
  memfd(lengthBytes: number): number;
  /** A counter that a device interrupt can add to; reads as a u64. */
  eventfd(): number;
  /** Wait until a descriptor can be read. Blocks. @returns 1, or 0 after the timeout. */
  poll(fd: number, timeoutMs: number): number;
  /** {@link poll} without blocking the event loop. */
  pollAsync(fd: number, timeoutMs: number): Promise<number>;
  /** Block for about this long. In a simulation, time passes for the devices. */
  sleepMs(ms: number): void;
}
