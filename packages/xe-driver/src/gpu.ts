import { NO_TAG } from '@gpusvm/dma-iova';
import type { DeviceAccessEvent } from '@gpusvm/hmm';
import {
  Completion,
  ECANCELED,
  EIO,
  type Errno,
  PAGE_SIZE,
  type SchedPoint,
  schedPoint,
  type Task,
  type Tracepoint,
} from '@gpusvm/kernel';
import { GPU_REFAULT_LIMIT } from './config.ts';
import { toldAccess } from './device-trace.ts';
import { TLB_ATOMIC, TLB_VALID, TLB_VRAM, TLB_WRITE } from './gpu-tlb.ts';
import {
  XE_PAGEFAULT_ACCESS_ATOMIC,
  XE_PAGEFAULT_ACCESS_READ,
  XE_PAGEFAULT_ACCESS_WRITE,
  XE_PAGEFAULT_TYPE_ATOMIC_ACCESS_VIOLATION,
  XE_PAGEFAULT_TYPE_NOT_PRESENT,
  XE_PAGEFAULT_TYPE_WRITE_ACCESS_VIOLATION,
} from './pagefault.ts';
import { xePagefaultHandler } from './pagefault-queue.ts';
import { XE_PAGE_RW, XE_PPGTT_PTE_DM, XE_USM_PPGTT_PTE_AE } from './pt-encoding.ts';
import { PtWalker } from './pt-walk.ts';
import type { XeVm } from './vm.ts';
import type { XeDevice } from './xe-device.ts';

/** A fault was answered; the access is about to be repeated. */
export const GPU_REPLAY: SchedPoint = schedPoint('gpu: fault answered, access not repeated');

/** What an access needs of a translation, and the faults it raises. */
interface AccessKind {
  readonly need: number;
  readonly access: number;
  readonly violation: number;
}

const READ: AccessKind = {
  need: TLB_VALID,
  access: XE_PAGEFAULT_ACCESS_READ,
  violation: XE_PAGEFAULT_TYPE_NOT_PRESENT,
};
const WRITE: AccessKind = {
  need: TLB_VALID | TLB_WRITE,
  access: XE_PAGEFAULT_ACCESS_WRITE,
  violation: XE_PAGEFAULT_TYPE_WRITE_ACCESS_VIOLATION,
};
const ATOMIC: AccessKind = {
  need: TLB_VALID | TLB_WRITE | TLB_ATOMIC,
  access: XE_PAGEFAULT_ACCESS_ATOMIC,
  violation: XE_PAGEFAULT_TYPE_ATOMIC_ACCESS_VIOLATION,
};

/**
 * The execution side of the device: loads and stores that go through the TLB and the page table, and from there
 * to device memory or through the IOMMU. A missing or insufficient translation is a fault in the queue; the access
 * is repeated after the answer.
 */
export class XeGpu {
  readonly #xe: XeDevice;
  readonly #walker: PtWalker;
  readonly #told: Tracepoint<DeviceAccessEvent>;
  /** Frame (address / 4096) of the last translation. */
  #frame = 0;

  constructor(xe: XeDevice) {
    this.#xe = xe;
    this.#walker = new PtWalker(xe.pt);
    this.#told = xe.deviceTrace.access;
  }

  /**
   * Load without faulting. Cost: one TLB look-up, on a miss one walk.
   *
   * @returns the content tag; NO_TAG when a fault is needed or the IOMMU refused.
   */
  tryGpuRead(vm: XeVm, page: number): number {
    const tag = this.#load(vm, page);
    return tag < 0 ? NO_TAG : tag;
  }

  /** Store without faulting; false when a fault is needed or the IOMMU refused. Cost: as {@link tryGpuRead}. */
  tryGpuWrite(vm: XeVm, page: number, tag: number): boolean {
    return this.#store(vm, page, tag, WRITE) === 0;
  }

  /**
   * Load, faulting as often as needed.
   *
   * @returns the content tag, or the errno of the fault's answer; -EIO for a DMA fault or when faults are
   * answered as served for ever without a translation; -ECANCELED after a reset; -ENOSPC for a full queue.
   */
  *gpuRead(vm: XeVm, page: number): Task<number> {
    for (let n = 0; n < GPU_REFAULT_LIMIT; n++) {
      const tag = this.#load(vm, page);
      if (tag !== NO_TAG) return tag;
      const err = yield* this.#fault(vm, page, READ);
      if (err !== 0) return err;
    }
    return this.#looping(page);
  }

  /** Store, faulting as often as needed; errnos as {@link gpuRead}. */
  *gpuWrite(vm: XeVm, page: number, tag: number): Task<Errno> {
    for (let n = 0; n < GPU_REFAULT_LIMIT; n++) {
      const stored = this.#store(vm, page, tag, WRITE);
      if (stored !== NO_TAG) return stored;
      const err = yield* this.#fault(vm, page, WRITE);
      if (err !== 0) return err;
    }
    return this.#looping(page);
  }

  /**
   * Add to a content tag as one device atomic, which needs an entry with the AE bit: on a discrete device that
   * means device memory.
   *
   * @returns the old tag, or an errno as {@link gpuRead}.
   */
  *gpuAtomicAdd(vm: XeVm, page: number, addend: number): Task<number> {
    for (let n = 0; n < GPU_REFAULT_LIMIT; n++) {
      const flags = this.#translate(vm, page);
      if ((flags & ATOMIC.need) === ATOMIC.need) {
        const told = this.#told.enabled;
        const old = told ? this.#toldRead(vm, page, flags) : this.#readFrame(flags);
        if (old < 0) return old;
        const stored = told
          ? this.#toldWrite(vm, page, flags, old + addend)
          : this.#writeFrame(flags, old + addend);
        return stored === 0 ? old : stored;
      }
      const err = yield* this.#fault(vm, page, ATOMIC);
      if (err !== 0) return err;
    }
    return this.#looping(page);
  }

  /**
   * Touch every page of `[startPage, endPage)`: fault in what does not translate, without moving data. Cost: one
   * fault for each range of the driver that is not bound, and one load per 4K entry.
   *
   * @returns 0, or an errno as {@link gpuRead} for the first page that cannot be had.
   */
  *gpuAccessRange(vm: XeVm, startPage: number, endPage: number, access: 'read' | 'write'): Task<Errno> {
    const kind = access === 'write' ? WRITE : READ;
    let page = this.#walker.firstMissing(vm.root, startPage, endPage, kind === WRITE);
    for (let again = 0; page < endPage; ) {
      const err = yield* this.#fault(vm, page, kind);
      if (err !== 0) return err;
      const next = this.#walker.firstMissing(vm.root, page, endPage, kind === WRITE);
      again = next === page ? again + 1 : 0;
      if (again === GPU_REFAULT_LIMIT) return this.#looping(page);
      page = next;
    }
    return 0;
  }

  /** Flags of the translation of a page, 0 when there is none; what is in the TLB wins. */
  #translate(vm: XeVm, page: number): number {
    const { tlb } = this.#xe;
    const cached = tlb.lookup(vm.asid, page);
    if (cached !== 0) {
      this.#frame = tlb.frame;
      return cached;
    }
    const walker = this.#walker;
    if (!walker.walk(vm.root, page)) return 0;
    const low = walker.low;
    let flags: number = TLB_VALID;
    if ((low & XE_PAGE_RW) !== 0) flags |= TLB_WRITE;
    if ((low & XE_PPGTT_PTE_DM) !== 0) flags |= TLB_VRAM;
    if ((low & XE_USM_PPGTT_PTE_AE) !== 0) flags |= TLB_ATOMIC;
    this.#frame = walker.frame;
    tlb.insert(vm.asid, page, walker.frame, walker.leafPages, flags);
    return flags;
  }

  #load(vm: XeVm, page: number): number {
    const flags = this.#translate(vm, page);
    if (flags === 0) return NO_TAG;
    return this.#told.enabled === true ? this.#toldRead(vm, page, flags) : this.#readFrame(flags);
  }

  #store(vm: XeVm, page: number, tag: number, kind: AccessKind): number {
    const flags = this.#translate(vm, page);
    if ((flags & kind.need) !== kind.need) return NO_TAG;
    return this.#told.enabled === true ? this.#toldWrite(vm, page, flags, tag) : this.#writeFrame(flags, tag);
  }

  /** Somebody listens to what the device does. Apart, so that the path without stays short. */
  #toldRead(vm: XeVm, page: number, flags: number): number {
    return toldAccess(vm, page, this.#pfn(flags), false, () => this.#readFrame(flags));
  }

  #toldWrite(vm: XeVm, page: number, flags: number, tag: number): Errno {
    return toldAccess(vm, page, this.#pfn(flags), true, () => this.#writeFrame(flags, tag));
  }

  #pfn(flags: number): number {
    return (flags & TLB_VRAM) === 0 ? -1 : this.#xe.vram.dpaFrameToPfn(this.#frame);
  }

  #readFrame(flags: number): number {
    if ((flags & TLB_VRAM) !== 0) return this.#xe.vram.readTag(this.#frame);
    const tag = this.#xe.device.readTag(this.#frame * PAGE_SIZE);
    return tag === NO_TAG ? -EIO : tag;
  }

  #writeFrame(flags: number, tag: number): Errno {
    if ((flags & TLB_VRAM) !== 0) {
      this.#xe.vram.writeTag(this.#frame, tag);
      return 0;
    }
    return this.#xe.device.writeTag(this.#frame * PAGE_SIZE, tag) ? 0 : -EIO;
  }

  *#fault(vm: XeVm, page: number, kind: AccessKind): Task<Errno> {
    const { machine } = this.#xe;
    const answered = new Completion(machine, 'gpu fault');
    let answer: Errno = 0;
    const present = this.#walker.walk(vm.root, page);
    const answerWith = (err: Errno): void => {
      answer = err;
      answered.complete();
    };
    const err = xePagefaultHandler(this.#xe, {
      asid: vm.asid,
      page,
      access: kind.access,
      typeLevel: (present ? kind.violation : XE_PAGEFAULT_TYPE_NOT_PRESENT) << 4,
      ackFault: answerWith,
      dropped: () => answerWith(-ECANCELED),
    });
    if (err !== 0) return err;
    yield* answered.wait();
    if (machine.scheduler.preemptive) yield GPU_REPLAY;
    return answer;
  }

  #looping(page: number): Errno {
    this.#xe.machine.warn('gpu', `page ${page} faults for ever although its faults are answered as served`);
    return -EIO;
  }
}
