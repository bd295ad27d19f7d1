import { EAGAIN, EINVAL, ENODEV, ENOENT, type Errno } from '@gpusvm/kernel';
import { EBADF } from '../errno.ts';
import type { MmapRequest, Sys, SysMemory } from '../sys.ts';
import { SimAddressSpace } from './address-space.ts';
import {
  SIM_AMD,
  SIM_AMD_7_3,
  SIM_KERNELS,
  SIM_MOCK,
  SIM_VTD,
  SIM_VTD_7_3,
  type SimDriver,
  type SimKernel,
} from './sim-driver.ts';
import { SimEdu } from './sim-edu.ts';
import { SimIommufd } from './sim-iommufd.ts';
import { SimMemfd } from './sim-memfd.ts';
import { SimMemory } from './sim-memory.ts';
import { SimNvme } from './sim-nvme.ts';
import type { SimFile } from './sim-objects.ts';
import { SimMemlock } from './sim-pages.ts';
import { pciFunction, type SimPciFunction, type SimPciModel } from './sim-pci.ts';
import { SimSysfs } from './sim-sysfs.ts';
import { SimVfioFile, type SimVfioHost } from './sim-vfio.ts';

const DRIVERS: Readonly<Record<SimKernel['name'], Readonly<Record<SimDriver['name'], SimDriver>>>> = {
  '6.12': { vtd: SIM_VTD, amd: SIM_AMD, mock: SIM_MOCK },
  '7.3': { vtd: SIM_VTD_7_3, amd: SIM_AMD_7_3, mock: SIM_MOCK },
};

/** One PCI function of the simulated machine. */
export interface SimFunctionOptions {
  readonly bdf: string;
  readonly model: SimPciModel;
  /** Default: a group of its own. */
  readonly iommuGroup?: number;
  /** Kernel driver that has it at the start; default none. */
  readonly kernelDriver?: string;
}

/** The simulated machine. */
export interface SimSysOptions {
  /** IOMMU driver; default `vtd`. With `mock` there is no IOMMU for PCI, only the selftest's device. */
  readonly driver?: SimDriver['name'];
  /** Default `6.12`. */
  readonly kernel?: SimKernel['name'];
  /** RLIMIT_MEMLOCK in bytes; default no limit (CAP_IPC_LOCK). */
  readonly memlockBytes?: number;
  /** CAP_SYS_RESOURCE; default true. */
  readonly privileged?: boolean;
  /** The IOMMU remaps interrupts; default true. */
  readonly interruptRemapping?: boolean;
  /** iommufd.allow_unsafe_interrupts; default false. */
  readonly allowUnsafeInterrupts?: boolean;
  /** Default: QEMU's edu at 00:04.0 and an NVMe controller at 00:05.0. */
  readonly functions?: readonly SimFunctionOptions[];
  /** Text of further files in /proc, /sys and /boot. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * A Linux kernel with iommufd, VFIO and devices, in memory: it answers the same request numbers and structure bytes
 * as the real one, with the same errnos and out fields. Everything is deterministic; time passes in `sleepMs` and
 * `poll` only.
 */
export class SimSys implements Sys, SimVfioHost {
  readonly kind = 'sim';
  readonly kernel: SimKernel;
  readonly driver: SimDriver;
  readonly space: SimAddressSpace = new SimAddressSpace();
  readonly memlock: SimMemlock;
  readonly privileged: boolean;
  readonly interruptsAreSafe: boolean;
  readonly functions: readonly SimPciFunction[];
  readonly #sysfs: SimSysfs;
  readonly #files = new Map<number, SimFile>();
  #nowMs = 0;

  constructor(o: SimSysOptions = {}) {
    this.kernel = SIM_KERNELS[o.kernel ?? '6.12'];
    this.driver = DRIVERS[this.kernel.name][o.driver ?? 'vtd'];
    this.memlock = new SimMemlock(o.memlockBytes ?? Infinity);
    this.privileged = o.privileged ?? true;
    this.interruptsAreSafe = (o.interruptRemapping ?? true) || (o.allowUnsafeInterrupts ?? false);
    const functions: readonly SimFunctionOptions[] = o.functions ?? [
      { bdf: '0000:00:04.0', model: new SimEdu() },
      { bdf: '0000:00:05.0', model: new SimNvme() },
    ];
    this.functions = functions.map((fn, i) =>
      pciFunction(fn.bdf, fn.iommuGroup ?? i, fn.model, fn.kernelDriver ?? null),
    );
    this.#sysfs = new SimSysfs(this.functions, o.files ?? {}, this.driver.name !== 'mock');
  }

  /** Open descriptors, for leak checks. */
  get openFiles(): number {
    return this.#files.size;
  }

  open(path: string): number {
    if (path === '/dev/iommu') return this.installFile(new SimIommufd(this));
    const fn = this.#sysfs.functionOf(path);
    return fn === null ? -ENOENT : this.installFile(new SimVfioFile(this, fn));
  }

  close(fd: number): Errno {
    const file = this.#files.get(fd);
    if (file === undefined) return -EBADF;
    this.#files.delete(fd);
    file.close();
    return 0;
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    if (argument.length < 4) throw new RangeError('the structure is shorter than its size field');
    const size = new DataView(argument.buffer, argument.byteOffset).getUint32(0, true);
    if (size > argument.length)
      throw new RangeError('the size field of the structure is larger than the buffer');
    return this.#files.get(fd)?.ioctl(request, argument) ?? -EBADF;
  }

  async ioctlAsync(fd: number, request: number, argument: Uint8Array): Promise<number> {
    await Promise.resolve();
    return this.ioctl(fd, request, argument);
  }

  mmap(request: MmapRequest): SysMemory | Errno {
    const { lengthBytes, fd, offsetBytes = 0, access = 'rw' } = request;
    if (fd !== undefined) {
      const file = this.#files.get(fd);
      if (file === undefined) return -EBADF;
      if (file instanceof SimVfioFile || file instanceof SimIommufd)
        return file.map(lengthBytes, offsetBytes);
      if (!(file instanceof SimMemfd)) return -ENODEV;
      if (offsetBytes % 4096 !== 0 || offsetBytes + lengthBytes > file.region.lengthBytes) return -EINVAL;
      const pages = file.region.backing.subarray(offsetBytes, offsetBytes + lengthBytes);
      const shared = this.space.map(lengthBytes, access, pages);
      return typeof shared === 'number' ? shared : new SimMemory(this.space, shared);
    }
    const region = this.space.map(lengthBytes, access);
    return typeof region === 'number' ? region : new SimMemory(this.space, region);
  }

  owns(memory: SysMemory): boolean {
    return memory instanceof SimMemory && memory.belongsTo(this.space);
  }

  read(fd: number, into: Uint8Array, offsetBytes: number | null): number {
    return this.#files.get(fd)?.read(into, offsetBytes) ?? -EBADF;
  }

  write(fd: number, from: Uint8Array, offsetBytes: number | null): number {
    return this.#files.get(fd)?.write(from, offsetBytes) ?? -EBADF;
  }

  memfd(lengthBytes: number): number {
    if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0) return -EINVAL;
    return this.installFile(new SimMemfd(lengthBytes));
  }

  eventfd(): number {
    return this.installFile(new SimEventfd());
  }

  /** Time passes until the descriptor is readable or the timeout is over. */
  poll(fd: number, timeoutMs: number): number {
    const file = this.#files.get(fd);
    if (file === undefined) return -EBADF;
    for (let waited = 0; !file.isReadable(); waited++) {
      if (waited >= timeoutMs) return 0;
      this.sleepMs(1);
    }
    return 1;
  }

  async pollAsync(fd: number, timeoutMs: number): Promise<number> {
    await Promise.resolve();
    return this.poll(fd, timeoutMs);
  }

  sleepMs(ms: number): void {
    this.#nowMs += ms;
    for (const fn of this.functions) fn.model.tick?.();
  }

  readText(path: string): string | Errno {
    return this.#sysfs.readText(path);
  }

  writeText(path: string, text: string): Errno {
    return this.#sysfs.writeText(path, text);
  }

  list(path: string): readonly string[] | Errno {
    return path === '/dev/vfio/devices' ? this.#cdevs() : this.#sysfs.list(path);
  }

  readLink(path: string): string | Errno {
    return this.#sysfs.readLink(path);
  }

  access(path: string): Errno {
    if (path === '/dev/iommu' || this.#sysfs.functionOf(path) !== null) return 0;
    return typeof this.#sysfs.readText(path) === 'string' ? 0 : -ENOENT;
  }

  /** @internal */
  installFile(file: SimFile): number {
    let fd = 3;
    while (this.#files.has(fd)) fd++;
    this.#files.set(fd, file);
    return fd;
  }

  /** @internal */
  fileOf(fd: number): SimFile | null {
    return this.#files.get(fd) ?? null;
  }

  /** @internal */
  functionsOfGroup(group: number): readonly SimPciFunction[] {
    return this.functions.filter((fn) => fn.iommuGroup === group);
  }

  /** @internal */
  isInUse(fn: SimPciFunction): boolean {
    return [...this.#files.values()].some(
      (file) => file instanceof SimVfioFile && file.function === fn && file.isBound,
    );
  }

  /** @internal */
  nowMs(): number {
    return this.#nowMs;
  }

  /** @internal */
  signal(fd: number): void {
    const file = this.#files.get(fd);
    if (file instanceof SimEventfd) file.signal();
  }

  #cdevs(): readonly string[] | Errno {
    const names = this.functions
      .filter(({ vfioNumber }) => vfioNumber >= 0)
      .map(({ vfioNumber }) => `vfio${vfioNumber}`);
    return names.length === 0 ? -ENOENT : names.sort();
  }
}

class SimEventfd implements SimFile {
  #count = 0n;

  signal(): void {
    this.#count++;
  }

  read(into: Uint8Array): number {
    if (into.length < 8) return -EINVAL;
    if (this.#count === 0n) return -EAGAIN;
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, this.#count, true);
    this.#count = 0n;
    return 8;
  }

  write(from: Uint8Array): number {
    if (from.length < 8) return -EINVAL;
    this.#count += new DataView(from.buffer, from.byteOffset).getBigUint64(0, true);
    return 8;
  }

  ioctl(): number {
    return -EINVAL;
  }

  isReadable(): boolean {
    return this.#count > 0n;
  }

  close(): void {
    this.#count = 0n;
  }
}
