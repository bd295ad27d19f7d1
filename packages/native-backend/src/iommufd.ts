import { ENOTTY } from './errno.ts';
import { FaultQueue } from './fault-queue.ts';
import { invoke } from './invoke.ts';
import { Ioas } from './ioas.ts';
import { check, KernelError } from './kernel-error.ts';
import type { Sys, SysMemory } from './sys.ts';
import type { Call } from './uapi/call.ts';
import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_OPTION,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
} from './uapi/iommufd.ts';
import { IOMMU_IOAS_CHANGE_PROCESS } from './uapi/iommufd-file.ts';

const SCRATCH_BYTES = 4096;

/**
 * An open `/dev/iommu`. It owns what was made through it; disposing it disposes all of that in the only order that
 * the kernel accepts: devices are detached and closed, page tables destroyed, address spaces unmapped and destroyed,
 * then the descriptor is closed. Objects can be disposed earlier, each with what depends on it.
 */
export class Iommufd implements Disposable {
  readonly sys: Sys;
  readonly fd: number;
  /** @internal what was made through this descriptor, in order of creation. */
  readonly owned: Set<Disposable> = new Set();
  #scratch: SysMemory | null = null;
  #open = true;

  /**
   * Open `/dev/iommu`.
   *
   * @throws KernelError `open /dev/iommu`: ENOENT without CONFIG_IOMMUFD, EACCES without permission.
   */
  static open(sys: Sys): Iommufd {
    return new Iommufd(sys, check('open /dev/iommu', sys.open('/dev/iommu'), {}));
  }

  private constructor(sys: Sys, fd: number) {
    this.sys = sys;
    this.fd = fd;
  }

  /** Make an empty IO address space (IOMMU_IOAS_ALLOC). @throws KernelError */
  allocIoas(): Ioas {
    const { result, out } = invoke(this.sys, this.fd, IOMMU_IOAS_ALLOC, {});
    check(IOMMU_IOAS_ALLOC.name, result, {});
    return new Ioas(this, out.out_ioas_id);
  }

  /** Make a queue for page requests of devices (IOMMU_FAULT_QUEUE_ALLOC). @throws KernelError ENOTTY before 6.11. */
  allocFaultQueue(): FaultQueue {
    const { result, out } = invoke(this.sys, this.fd, IOMMU_FAULT_QUEUE_ALLOC, {});
    check(IOMMU_FAULT_QUEUE_ALLOC.name, result, {});
    return new FaultQueue(this, out.out_fault_id, out.out_fault_fd);
  }

  /**
   * Whether this kernel knows a call: asked with a structure that is too short, which changes nothing. The call's
   * fields and flags may still be newer than the kernel (E2BIG, EOPNOTSUPP).
   */
  supports(call: Call): boolean {
    const tooShort = new Uint8Array(4);
    tooShort[0] = 4;
    return this.sys.ioctl(this.fd, call.request, tooShort) !== -ENOTTY;
  }

  /** Count pinned memory against the process instead of the user (IOMMU_OPTION_RLIMIT_MODE). */
  get accountsByProcess(): boolean {
    const values = { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_GET };
    const { result, out } = invoke(this.sys, this.fd, IOMMU_OPTION, values);
    check(IOMMU_OPTION.name, result, values);
    return out.val64 === 1n;
  }

  /** @throws KernelError EPERM without CAP_SYS_RESOURCE, EBUSY once an object exists. */
  set accountsByProcess(on: boolean) {
    const values = { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_SET, val64: on ? 1n : 0n };
    check(IOMMU_OPTION.name, invoke(this.sys, this.fd, IOMMU_OPTION, values).result, values);
  }

  /**
   * Count the pinned memory against this process from now on (IOMMU_IOAS_CHANGE_PROCESS, since 6.13), after it took the
   * descriptor over from another one.
   *
   * @throws KernelError EINVAL when something else than files is mapped, ENOMEM at this process's memlock limit.
   */
  changeProcess(): void {
    check(
      IOMMU_IOAS_CHANGE_PROCESS.name,
      invoke(this.sys, this.fd, IOMMU_IOAS_CHANGE_PROCESS, {}).result,
      {},
    );
  }

  /**
   * @internal Memory that calls may point to, at least as long as asked; its content is the caller's until the next
   * call. Never handed to a device.
   */
  scratch(lengthBytes: number): SysMemory {
    if (this.#scratch !== null && this.#scratch.lengthBytes >= lengthBytes) return this.#scratch;
    this.#scratch?.unmap();
    const memory = this.sys.mmap({ lengthBytes: Math.max(SCRATCH_BYTES, lengthBytes) });
    if (typeof memory === 'number') throw new KernelError('mmap', memory, { lengthBytes });
    this.#scratch = memory;
    return memory;
  }

  /** @internal IOMMU_DESTROY. @throws KernelError EBUSY while something refers to the object. */
  destroyObject(id: number): void {
    check(IOMMU_DESTROY.name, invoke(this.sys, this.fd, IOMMU_DESTROY, { id }).result, { id });
  }

  /** Dispose everything that was made through this descriptor, last first, and close it. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const owned of [...this.owned].reverse()) owned[Symbol.dispose]();
    this.#scratch?.unmap();
    check('close', this.sys.close(this.fd), { fd: this.fd });
  }
}
