import {
  type DrmGpusvm,
  type DrmGpusvmCtx,
  type DrmGpusvmNotifier,
  drmGpusvmFini,
  drmGpusvmForEachNotifier,
  drmGpusvmForEachRange,
  drmGpusvmHasMapping,
  drmGpusvmInit,
  drmGpusvmUnmapPages,
} from '@gpusvm/drm-gpusvm';
import type { Mm } from '@gpusvm/hmm';
import {
  EBUSY,
  EINVAL,
  ENOENT,
  type Errno,
  Kref,
  NotImplemented,
  RwSem,
  type Task,
  Work,
} from '@gpusvm/kernel';
import { tellFlushed } from './device-trace.ts';
import { garbageWorker } from './garbage-collector.ts';
import { type AtomicAttribute, GpuVmaTree } from './gpu-vma.ts';
import { LEVEL_PAGES, PT_ENTRIES } from './pt-encoding.ts';
import { NO_TABLE } from './pt.ts';
import type { LeafFormat } from './pt-fill.ts';
import { PtBindStage } from './pt-stage.ts';
import { ResCursor } from './res-cursor.ts';
import { xeSvmInvalidate } from './svm-invalidate.ts';
import { XeSvmRange } from './svm-range.ts';
import type { XeDevice } from './xe-device.ts';

/** Level of the root table: 48-bit addresses. */
const ROOT_LEVEL = 3;
/** Pages of a GPU address space. */
export const XE_VM_PAGES: number = LEVEL_PAGES[ROOT_LEVEL] * PT_ENTRIES;

/** What a mirrored area allows. */
export interface MirrorOptions {
  /** The GPU may not write. */
  readonly readOnly?: boolean;
  /** Where atomics are meant to run; `undefined` as in the uAPI. */
  readonly atomic?: AtomicAttribute;
}

/** An error that a fault was answered with. */
export interface FaultRecord {
  readonly page: number;
  readonly error: Errno;
}

/**
 * A GPU address space in fault mode that mirrors one process (struct xe_vm, xe_vm.c): lock, page table, areas,
 * ranges.
 */
export class XeVm {
  readonly xe: XeDevice;
  readonly mm: Mm;
  /** Number by which the hardware names the address space. */
  readonly asid: number;
  readonly ref: Kref;
  /** vm->lock: held for writing by faults, the garbage collector, bind and close. */
  readonly lock: RwSem;
  /** Root page table. */
  readonly root: number;
  readonly vmas: GpuVmaTree = new GpuVmaTree();
  readonly svm: DrmGpusvm;
  /** Staging of binds, reused under the VM lock. */
  readonly stage: PtBindStage;
  readonly cursor: ResCursor;
  readonly leafFormat: LeafFormat;
  /** Ranges that wait for the garbage collector. */
  readonly garbage: XeSvmRange[] = [];
  readonly garbageWork: Work;
  garbageEnabled = true;
  /** Size 0 in the kernel: nothing may be looked up any more. */
  closed = false;
  /** An error left the address space in an unknown state. */
  killed = false;
  /** Context for unmapping outside of a notifier. */
  readonly plainCtx: DrmGpusvmCtx;
  /** Errors of faults, oldest first. */
  readonly faults: FaultRecord[] = [];

  private constructor(xe: XeDevice, mm: Mm, asid: number, root: number) {
    const { machine, options, pt } = xe;
    this.xe = xe;
    this.mm = mm;
    this.asid = asid;
    this.root = root;
    this.lock = new RwSem(machine, `vm ${asid}`);
    this.ref = new Kref(`xe vm ${asid}`, 'user', () => xe.vmReleased(this));
    this.stage = new PtBindStage(pt);
    this.cursor = new ResCursor(
      { addr: new Float64Array(1), order: new Uint8Array(1), proto: new Uint8Array(1) },
      0,
    );
    const { compact64k, needs64k } = options;
    this.leafFormat = { patIndex: options.patIndex, vramFlags: 0, systemFlags: 0, compact64k, needs64k };
    this.garbageWork = new Work(() => garbageWorker(this));
    this.plainCtx = {
      devicePrivatePageOwner: null,
      checkPagesThreshold: 0,
      timesliceMs: 0,
      inNotifier: false,
      readOnly: false,
      devmemPossible: false,
      devmemOnly: false,
      allowMixed: false,
    };
    this.svm = drmGpusvmInit(machine, {
      name: `xe vm ${asid}`,
      mm,
      startPage: 0,
      pages: XE_VM_PAGES,
      notifierPages: options.notifierPages,
      chunkPages: [...options.chunkPages],
      ops: {
        rangeAlloc: (gpusvm) => new XeSvmRange(gpusvm, xe.device, xe.strategy),
        invalidate: (_gpusvm, notifier, event) => xeSvmInvalidate(this, notifier, event),
      },
    });
    this.svm.driverSetLock(this.lock);
  }

  /**
   * Make an address space that mirrors a process (xe_vm_create with fault mode, xe_svm_init).
   *
   * @returns the VM, or -ENOMEM for its root table.
   */
  static *create(xe: XeDevice, mm: Mm): Task<XeVm | Errno> {
    yield* xe.usmLock.downWrite();
    const made = xe.registerVm((asid) => {
      const root = xe.pt.alloc(ROOT_LEVEL, false);
      return root === NO_TABLE ? null : new XeVm(xe, mm, asid, root);
    });
    xe.usmLock.upWrite();
    return made;
  }

  /**
   * Mirror an interval of the process (VM_BIND MAP with CPU_ADDR_MIRROR). Nothing is mapped before a fault.
   *
   * @returns 0; -EINVAL for an empty interval or one outside the address space; -ENOENT when closed.
   * @throws NotImplemented for an interval that overlaps an area: areas are not split.
   */
  *bindMirror(startPage: number, pages: number, options: MirrorOptions = {}): Task<Errno> {
    if (!(pages >= 1) || startPage < 0 || startPage + pages > XE_VM_PAGES) return -EINVAL;
    yield* this.lock.downWrite();
    try {
      if (this.closed) return -ENOENT;
      const endPage = startPage + pages;
      if (this.vmas.overlaps(startPage, endPage)) {
        throw new NotImplemented(`bind of pages [${startPage}, ${endPage}) over an existing area`);
      }
      const { readOnly = false, atomic = 'undefined' } = options;
      this.vmas.insert({ startPage, endPage, readOnly, atomic });
      return 0;
    } finally {
      this.lock.upWrite();
    }
  }

  /**
   * Stop mirroring an area (VM_BIND UNMAP).
   *
   * @returns 0; -EBUSY while ranges live in it; -ENOENT when closed; -EINVAL when it is not exactly one area.
   */
  *unbindMirror(startPage: number, pages: number): Task<Errno> {
    yield* this.lock.downWrite();
    try {
      if (this.closed) return -ENOENT;
      const vma = this.vmas.lookup(startPage);
      if (vma === null || vma.startPage !== startPage || vma.endPage !== startPage + pages) return -EINVAL;
      if (drmGpusvmHasMapping(this.svm, startPage, startPage + pages)) return -EBUSY;
      this.vmas.remove(vma);
      return 0;
    } finally {
      this.lock.upWrite();
    }
  }

  /**
   * Close and destroy (xe_vm_close_and_put). Sleeps. Order: closed, entries cleared, TLB flushed; collector
   * stopped; ranges removed; tables freed; the ASID last.
   */
  *close(): Task<void> {
    const { xe } = this;
    yield* this.lock.downWrite();
    if (this.closed) {
      this.lock.upWrite();
      return;
    }
    yield* this.svm.notifierLock.downRead();
    this.closed = true;
    for (let i = 0; i < PT_ENTRIES; i++) {
      if (xe.pt.words[xe.pt.base(this.root) + i * 2] !== 0) xe.pt.write(this.root, i, 0, 0);
    }
    yield* xe.tlbInval.wait(xe.tlbInval.submitAsid(this.asid));
    if (xe.deviceTrace.unmap.enabled) tellFlushed(this, 0, XE_VM_PAGES);
    this.svm.notifierLock.upRead();
    this.lock.upWrite();
    this.garbageEnabled = false;
    xe.garbageQueue.cancelWork(this.garbageWork);
    yield* xe.garbageQueue.flush();
    yield* this.lock.downWrite();
    for (const range of this.#allRanges()) {
      yield* drmGpusvmUnmapPages(this.svm, range.pages, range.sizePages, this.plainCtx);
    }
    this.garbage.length = 0;
    yield* drmGpusvmFini(this.svm);
    this.vmas.clear();
    this.lock.upWrite();
    yield* xe.usmLock.downWrite();
    xe.eraseAsid(this);
    xe.usmLock.upWrite();
    this.ref.put('user');
  }

  /** Remember an error that a fault was answered with (xe_vm_add_fault_entry_pf). */
  recordFault(page: number, error: Errno): void {
    this.faults.push({ page, error });
  }

  /** Ranges of a notifier that overlap `[startPage, endPage)`. Notifier lock held, in any mode. */
  rangesIn(notifier: DrmGpusvmNotifier, startPage: number, endPage: number): XeSvmRange[] {
    const from = Math.max(startPage, notifier.startPage);
    const to = Math.min(endPage, notifier.endPage);
    const ranges: XeSvmRange[] = [];
    drmGpusvmForEachRange(notifier, from, to, (range) => ranges.push(range as XeSvmRange));
    return ranges;
  }

  #allRanges(): XeSvmRange[] {
    const ranges: XeSvmRange[] = [];
    drmGpusvmForEachNotifier(this.svm, 0, XE_VM_PAGES, (notifier) => {
      ranges.push(...this.rangesIn(notifier, 0, XE_VM_PAGES));
    });
    return ranges;
  }
}
