import { EMSGSIZE, type Errno } from '@gpusvm/kernel';
import type { Attachment } from './attachment.ts';
import { Hwpt, type HwptOptions } from './hwpt.ts';
import { invoke, invokeAsync } from './invoke.ts';
import type { Iommufd } from './iommufd.ts';
import { check } from './kernel-error.ts';
import type { SysMemory } from './sys.ts';
import { toNumber, type U64 } from './u64.ts';
import * as uapi from './uapi/iommufd.ts';
import { IOMMU_IOAS_MAP_FILE } from './uapi/iommufd-file.ts';
import { decode, encode, sizeOf } from './uapi/layout.ts';

/** A range of IO virtual addresses; both ends belong to it. */
export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** A piece of memory to be mapped, and where. */
export interface MapRequest {
  /** From {@link Sys.mmap}; nothing else can be mapped. */
  readonly memory: SysMemory;
  /** First byte inside of the memory; default 0. */
  readonly offsetBytes?: number;
  /** Default: to the end of the memory. */
  readonly lengthBytes?: number;
  /** Where; without it the kernel chooses, bottom up. */
  readonly iova?: U64;
  /** What the device may do; default both. */
  readonly access?: 'r' | 'w' | 'rw';
}

/** A piece of a file in memory to be mapped, and where. */
export interface MapFileRequest {
  /** Descriptor of {@link Sys.memfd}, or of a file of tmpfs or hugetlbfs. */
  readonly fd: number;
  /** First byte in the file; default 0. */
  readonly startBytes?: U64;
  readonly lengthBytes: U64;
  /** Where; without it the kernel chooses, bottom up. */
  readonly iova?: U64;
  /** What the device may do; default both. */
  readonly access?: 'r' | 'w' | 'rw';
}

/** What {@link Ioas.ranges} reports. */
export interface IovaRanges {
  readonly ranges: readonly IovaRange[];
  /** IOVA, length and memory must be multiples of it; 1 before a device is attached. */
  readonly alignmentBytes: number;
}

const ACCESS = {
  r: uapi.IOMMU_IOAS_MAP_READABLE,
  w: uapi.IOMMU_IOAS_MAP_WRITEABLE,
  rw: uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE,
} as const;

const U64_MAX = 2n ** 64n - 1n;

/**
 * An IO address space: mappings of memory, visible to every device that is attached. A mapping is unmapped whole or
 * not at all. Memory is pinned while a device is attached.
 */
export class Ioas implements Disposable {
  readonly iommufd: Iommufd;
  readonly id: number;
  /** @internal page tables and devices that use it. */
  readonly dependents: Set<Disposable | Attachment> = new Set();
  #live = true;

  /** @internal use {@link Iommufd.allocIoas}. */
  constructor(iommufd: Iommufd, id: number) {
    this.iommufd = iommufd;
    this.id = id;
    iommufd.owned.add(this);
  }

  /**
   * Map memory for DMA (IOMMU_IOAS_MAP).
   *
   * @returns the IOVA in bytes.
   * @throws KernelError ENOMEM at the memlock limit, EEXIST on overlap, EINVAL, EFAULT; see its `likelyCause`.
   */
  map(request: MapRequest): number {
    const values = this.#mapValues(request);
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_MAP, values);
    check(uapi.IOMMU_IOAS_MAP.name, result, values);
    return toNumber(out.iova, 'iova');
  }

  /** {@link map} in another thread: pinning gigabytes takes a while. */
  async mapAsync(request: MapRequest): Promise<number> {
    const values = this.#mapValues(request);
    const { sys, fd } = this.iommufd;
    const { result, out } = await invokeAsync(sys, fd, uapi.IOMMU_IOAS_MAP, values);
    check(uapi.IOMMU_IOAS_MAP.name, result, values);
    return toNumber(out.iova, 'iova');
  }

  /**
   * Map a piece of a file in memory (IOMMU_IOAS_MAP_FILE, since 6.13): it stays valid when another process takes the
   * descriptor over (see {@link Iommufd.changeProcess}).
   *
   * @returns the IOVA in bytes.
   * @throws KernelError EBADF, EINVAL beyond the end or for another kind of file, and as {@link map}.
   */
  mapFile(request: MapFileRequest): number {
    const { fd, startBytes = 0, lengthBytes, iova, access = 'rw' } = request;
    const values = {
      flags: ACCESS[access] | (iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA),
      ioas_id: this.id,
      fd,
      start: BigInt(startBytes),
      length: BigInt(lengthBytes),
      iova: BigInt(iova ?? 0),
    };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, IOMMU_IOAS_MAP_FILE, values);
    check(IOMMU_IOAS_MAP_FILE.name, result, values);
    return toNumber(out.iova, 'iova');
  }

  /** {@link map} at a fixed IOVA with the errno as a value: 0 or negative. */
  tryMap(request: MapRequest & { readonly iova: U64 }): Errno {
    const values = this.#mapValues(request);
    return invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_MAP, values).result;
  }

  /**
   * Unmap every mapping that lies inside of a range (IOMMU_IOAS_UNMAP); gaps are stepped over.
   *
   * @returns bytes unmapped.
   * @throws KernelError ENOENT when nothing is mapped there, and when the range would cut a mapping (those in front
   *   of it are gone then).
   */
  unmap(iova: U64, lengthBytes: U64): number {
    const values = { ioas_id: this.id, iova: BigInt(iova), length: BigInt(lengthBytes) };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_UNMAP, values);
    check(uapi.IOMMU_IOAS_UNMAP.name, result, values);
    return toNumber(out.length, 'length');
  }

  /** {@link unmap} with the errno as a value. @returns bytes unmapped, or a negated errno. */
  tryUnmap(iova: U64, lengthBytes: U64): number {
    const values = { ioas_id: this.id, iova: BigInt(iova), length: BigInt(lengthBytes) };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_UNMAP, values);
    return result < 0 ? result : toNumber(out.length, 'length');
  }

  /** Unmap everything. @returns bytes unmapped; 0 when nothing was. */
  unmapAll(): number {
    const values = { ioas_id: this.id, iova: 0n, length: U64_MAX };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_UNMAP, values);
    check(uapi.IOMMU_IOAS_UNMAP.name, result, values);
    return toNumber(out.length, 'length');
  }

  /**
   * Map what another address space maps (IOMMU_IOAS_COPY); the memory is pinned once.
   *
   * @param source - where from: a part of a mapping, or several that touch.
   * @returns the IOVA in this space.
   * @throws KernelError ENOENT when the source is not mapped as a whole, EPERM when it may not be written.
   */
  copyFrom(
    source: { readonly ioas: Ioas; readonly iova: U64; readonly lengthBytes: U64 },
    target: { readonly iova?: U64; readonly access?: 'r' | 'w' | 'rw' } = {},
  ): number {
    const fixed = target.iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
    const values = {
      flags: ACCESS[target.access ?? 'rw'] | fixed,
      dst_ioas_id: this.id,
      src_ioas_id: source.ioas.id,
      length: BigInt(source.lengthBytes),
      dst_iova: BigInt(target.iova ?? 0),
      src_iova: BigInt(source.iova),
    };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_IOAS_COPY, values);
    check(uapi.IOMMU_IOAS_COPY.name, result, values);
    return toNumber(out.dst_iova, 'iova');
  }

  /** Addresses that may be mapped, with the devices that are attached now (IOMMU_IOAS_IOVA_RANGES). */
  ranges(): IovaRanges {
    const size = sizeOf(uapi.IOMMU_IOVA_RANGE);
    for (let room = 16; ; ) {
      const scratch = this.iommufd.scratch(room * size);
      const values = { ioas_id: this.id, num_iovas: room, allowed_iovas: scratch.address };
      const { sys, fd } = this.iommufd;
      const { result, out } = invoke(sys, fd, uapi.IOMMU_IOAS_IOVA_RANGES, values);
      if (result === -EMSGSIZE) {
        room = out.num_iovas;
        continue;
      }
      check(uapi.IOMMU_IOAS_IOVA_RANGES.name, result, values);
      const ranges = Array.from({ length: out.num_iovas }, (_, i) =>
        decode(uapi.IOMMU_IOVA_RANGE, scratch.bytes, i * size),
      );
      return { ranges, alignmentBytes: Number(out.out_iova_alignment) };
    }
  }

  /**
   * Keep ranges usable: a device that cannot reach them will not attach, and automatic placement stays inside.
   *
   * @throws KernelError EADDRINUSE when a range is reserved already, EINVAL when ranges overlap.
   */
  allow(ranges: readonly IovaRange[]): void {
    const size = sizeOf(uapi.IOMMU_IOVA_RANGE);
    const scratch = this.iommufd.scratch(ranges.length * size);
    for (const [i, range] of ranges.entries()) encode(uapi.IOMMU_IOVA_RANGE, range, scratch.bytes, i * size);
    const values = { ioas_id: this.id, num_iovas: ranges.length, allowed_iovas: scratch.address };
    const { sys, fd } = this.iommufd;
    check(
      uapi.IOMMU_IOAS_ALLOW_IOVAS.name,
      invoke(sys, fd, uapi.IOMMU_IOAS_ALLOW_IOVAS, values).result,
      values,
    );
  }

  /** Whether contiguous memory gets large page-table entries (IOMMU_OPTION_HUGE_PAGES); default true. */
  get hugePages(): boolean {
    const values = {
      option_id: uapi.IOMMU_OPTION_HUGE_PAGES,
      op: uapi.IOMMU_OPTION_OP_GET,
      object_id: this.id,
    };
    const { result, out } = invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_OPTION, values);
    check(uapi.IOMMU_OPTION.name, result, values);
    return out.val64 === 1n;
  }

  /** @throws KernelError EINVAL when switched off while mappings are in a page table. */
  set hugePages(on: boolean) {
    const values = {
      option_id: uapi.IOMMU_OPTION_HUGE_PAGES,
      op: uapi.IOMMU_OPTION_OP_SET,
      object_id: this.id,
      val64: on ? 1n : 0n,
    };
    check(
      uapi.IOMMU_OPTION.name,
      invoke(this.iommufd.sys, this.iommufd.fd, uapi.IOMMU_OPTION, values).result,
      values,
    );
  }

  /**
   * Make a page table over this address space for a device (IOMMU_HWPT_ALLOC).
   *
   * @throws KernelError EOPNOTSUPP when the IOMMU cannot do what the options ask for.
   */
  allocHwpt(device: { readonly id: number }, options: HwptOptions = {}): Hwpt {
    return Hwpt.alloc(this, device.id, options);
  }

  /** Detach the devices, destroy the page tables, unmap everything, destroy the object. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const dependent of [...this.dependents].reverse()) {
      if ('detach' in dependent) dependent.detach();
      else dependent[Symbol.dispose]();
    }
    this.unmapAll();
    this.iommufd.destroyObject(this.id);
    this.iommufd.owned.delete(this);
  }

  #mapValues(request: MapRequest): {
    readonly flags: number;
    readonly ioas_id: number;
    readonly user_va: bigint;
    readonly length: bigint;
    readonly iova: bigint;
  } {
    const { memory, offsetBytes = 0, iova, access = 'rw' } = request;
    if (!this.iommufd.sys.owns(memory))
      throw new TypeError('only memory from Sys.mmap can be mapped for DMA, never a buffer of the JS heap');
    const lengthBytes = request.lengthBytes ?? memory.lengthBytes - offsetBytes;
    if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > memory.lengthBytes) {
      throw new RangeError(
        `[${offsetBytes}, +${lengthBytes}) is outside of the memory of ${memory.lengthBytes} bytes`,
      );
    }
    return {
      flags: ACCESS[access] | (iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA),
      ioas_id: this.id,
      user_va: memory.address + BigInt(offsetBytes),
      length: BigInt(lengthBytes),
      iova: BigInt(iova ?? 0),
    };
  }
}
