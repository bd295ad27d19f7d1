import { type DmaDevice, NO_TAG } from '@gpusvm/dma-iova';
import { DEVICE_COPY_TRACE, type DeviceCopyEvent } from '@gpusvm/hmm';
import {
  DmaFence,
  EINVAL,
  EIO,
  ENOMEM,
  type Errno,
  type FaultSite,
  HPAGE_PMD_NR,
  isAligned,
  type Machine,
  PAGE_SIZE,
  PMD_ORDER,
  type SchedPoint,
  schedPoint,
  type Task,
  type Tracepoint,
  Work,
  WorkQueue,
} from '@gpusvm/kernel';
import { MAX_COPY_PAGES, type XeTiming } from './config.ts';
import { CLEAR_BYTES, COPY_BYTES, COPY_ENTRIES, COPY_JOBS, type XeCounters } from './counters.ts';
import { MigrateVm } from './migrate-vm.ts';
import type { PtPool } from './pt.ts';
import { isEncodable } from './pt-encoding.ts';
import { PtWalker } from './pt-walk.ts';
import { type DmaEntries, XE_INTERCONNECT_VRAM } from './res-cursor.ts';
import { XE_COPY, type XeCopyEvent } from './trace.ts';
import type { VramRegion } from './vram.ts';

/** The copy engine is about to run a job. */
export const COPY_JOB: SchedPoint = schedPoint('xe_migrate: job queued');
/** The copy engine has moved the data; its fence is not signalled yet. */
export const COPY_DONE: SchedPoint = schedPoint('xe_migrate: data moved, fence not signalled');

/** One job of the copy engine; `entries` null clears. */
interface CopyJob {
  readonly entries: DmaEntries | null;
  readonly first: number;
  readonly pages: number;
  readonly dpaFrame: number;
  readonly toVram: boolean;
  readonly dependency: DmaFence | null;
  readonly fence: DmaFence;
}

/**
 * The copy engine (struct xe_migrate, drivers/gpu/drm/xe/xe_migrate.c): one in-order queue of jobs of at most
 * 8 MiB with a fence each. A job writes window entries for its system side and then copies by following them:
 * through its own page tables, and from there through the IOMMU, so that a wrong or stale address moves wrong
 * data or faults.
 */
export class XeMigrate {
  /** Address space of the engine. */
  readonly vm: MigrateVm;
  readonly #machine: Machine;
  readonly #device: DmaDevice;
  readonly #vram: VramRegion;
  readonly #counters: XeCounters;
  readonly #timing: XeTiming;
  readonly #systemSide: PtWalker;
  readonly #vramSide: PtWalker;
  readonly #site: FaultSite;
  readonly #traced: Tracepoint<XeCopyEvent>;
  readonly #told: Tracepoint<DeviceCopyEvent>;
  readonly #queue: WorkQueue;
  readonly #work: Work;
  readonly #jobs: CopyJob[] = [];

  constructor(
    machine: Machine,
    device: DmaDevice,
    pool: PtPool,
    vram: VramRegion,
    counters: XeCounters,
    timing: XeTiming,
  ) {
    this.#machine = machine;
    this.#device = device;
    this.#vram = vram;
    this.#counters = counters;
    this.#timing = timing;
    this.vm = new MigrateVm(pool, vram);
    this.#systemSide = new PtWalker(pool);
    this.#vramSide = new PtWalker(pool);
    this.#site = machine.faultInjection.site('xe.migrate_job');
    this.#traced = machine.trace.point(XE_COPY);
    this.#told = machine.trace.point(DEVICE_COPY_TRACE);
    this.#queue = new WorkQueue(machine, 'xe migrate');
    this.#work = new Work(() => this.#run());
  }

  /**
   * Queue a copy (xe_migrate_to_vram, xe_migrate_from_vram). Does not sleep. Asks fault site `xe.migrate_job`.
   *
   * @param entries - addresses of the system side, one slot a page; an entry of order o fills its slot and stands
   * for the 2^o - 1 slots behind it. No holes.
   * @param first - slot of the first page.
   * @param pages - at most {@link MAX_COPY_PAGES}.
   * @param dpaFrame - first frame of the device side, contiguous.
   * @param dependency - must signal before the first byte is written.
   * @returns a fence, or -ENOMEM, or -EINVAL for entries that the engine cannot address.
   */
  copy(
    entries: DmaEntries,
    first: number,
    pages: number,
    dpaFrame: number,
    toVram: boolean,
    dependency: DmaFence | null,
  ): DmaFence | Errno {
    if (pages < 1 || pages > MAX_COPY_PAGES)
      throw new RangeError(`a copy job has 1 to ${MAX_COPY_PAGES} pages, got ${pages}`);
    for (let i = 0; i < pages; i += 1 << entries.order[first + i]!) {
      const addr = entries.addr[first + i]!;
      if (addr === 0 || !isEncodable(addr) || entries.proto[first + i] === XE_INTERCONNECT_VRAM)
        return -EINVAL;
    }
    return this.#submit({ entries, first, pages, dpaFrame, toVram, dependency, fence: this.#fence('copy') });
  }

  /** Queue a clear of device memory (xe_migrate_clear). Does not sleep. Asks fault site `xe.migrate_job`. */
  clear(dpaFrame: number, pages: number): DmaFence | Errno {
    return this.#submit({
      entries: null,
      first: 0,
      pages,
      dpaFrame,
      toVram: true,
      dependency: null,
      fence: this.#fence('clear'),
    });
  }

  /** Free the engine's address space. Sleeps until the queue is empty. */
  *destroy(): Task<void> {
    yield* this.#queue.flush();
    this.vm.destroy();
  }

  #fence(name: string): DmaFence {
    return new DmaFence(this.#machine, `xe ${name}`);
  }

  #submit(job: CopyJob): DmaFence | Errno {
    if (this.#site.shouldFail()) return -ENOMEM;
    if (this.#told.enabled) this.#tell(job, 'start');
    const ready = this.#jobs.length === 0 && !this.#work.pending && job.dependency?.signalled !== false;
    if (ready && !this.#machine.scheduler.preemptive) {
      job.fence.signal(this.#executed(job));
    } else {
      this.#jobs.push(job);
      this.#queue.queueWork(this.#work);
    }
    return job.fence;
  }

  *#run(): Task<void> {
    const preemptive = this.#machine.scheduler.preemptive;
    while (this.#jobs.length > 0) {
      const job = this.#jobs[0]!;
      if (preemptive) yield COPY_JOB;
      const failed = job.dependency === null ? 0 : yield* job.dependency.wait();
      const err = failed === 0 ? this.#executed(job) : failed;
      if (preemptive) yield COPY_DONE;
      this.#jobs.shift();
      job.fence.signal(err);
    }
  }

  #executed(job: CopyJob): Errno {
    const err = this.#execute(job);
    if (err === 0 && this.#told.enabled) this.#tell(job, 'done');
    return err;
  }

  /** Tell of every page that the job writes. */
  #tell({ entries, first, pages, dpaFrame, toVram }: CopyJob, phase: 'start' | 'done'): void {
    const device = this.#device.name;
    for (let i = 0, at = 0; i < pages; i++) {
      if (entries !== null && i >= at + (1 << entries.order[first + at]!)) at = i;
      const to = toVram
        ? this.#vram.dpaFrameToPfn(dpaFrame + i)
        : this.#systemPfn(entries!.addr[first + at]!) + i - at;
      this.#told.emit({ phase, device, from: -1, to, clears: entries === null });
    }
  }

  /** Page frame behind a DMA address; the buffer's where it is bounced. */
  #systemPfn(addrBytes: number): number {
    const frame = addrBytes / PAGE_SIZE;
    const { domain } = this.#device;
    return domain === null ? frame : domain.translate(frame);
  }

  #execute(job: CopyJob): Errno {
    const { entries, first, pages, dpaFrame, toVram } = job;
    const timing = this.#timing;
    const bytes = pages * PAGE_SIZE;
    if (entries === null) {
      this.#clear(dpaFrame, pages);
      this.#counters.values[CLEAR_BYTES]! += bytes;
      this.#machine.scheduler.charge(timing.jobOverheadNs + bytes / timing.clearBytesPerNs);
      return 0;
    }
    const huge = isHuge(entries, first, pages);
    const window = this.vm.writeWindow(entries, first, pages, huge);
    const values = this.#counters.values;
    values[COPY_JOBS]!++;
    values[COPY_BYTES]! += bytes;
    values[COPY_ENTRIES]! += huge ? pages / HPAGE_PMD_NR : pages;
    const err = this.#move(window, dpaFrame, pages, toVram);
    const speed = huge ? timing.copyHugeBytesPerNs : timing.copySmallBytesPerNs;
    this.#machine.scheduler.charge(timing.jobOverheadNs + bytes / speed);
    if (this.#traced.enabled) this.#traced.emit({ pages, toVram, huge, error: err });
    return err;
  }

  /** The copy command: both sides are virtual addresses of the engine's own address space. */
  #move(window: number, dpaFrame: number, pages: number, toVram: boolean): Errno {
    const { root } = this.vm;
    const device = this.#device;
    const vram = this.#vram;
    const identity = this.vm.identityPage(dpaFrame);
    const system = this.#systemSide;
    const local = this.#vramSide;
    let localEnd = -1;
    let localShift = 0;
    for (let i = 0; i < pages; ) {
      if (!system.walk(root, window + i)) return -EIO;
      const count = Math.min(system.leafPages, pages - i);
      let addr = system.frame * PAGE_SIZE;
      for (let k = 0; k < count; k++, i++, addr += PAGE_SIZE) {
        if (i >= localEnd) {
          if (!local.walk(root, identity + i)) return -EIO;
          localShift = local.frame - i;
          localEnd = local.leafStart + local.leafPages - identity;
        }
        if (toVram) {
          const tag = device.readTag(addr);
          if (tag === NO_TAG) return -EIO;
          vram.writeTag(i + localShift, tag);
        } else if (!device.writeTag(addr, vram.readTag(i + localShift))) {
          return -EIO;
        }
      }
    }
    return 0;
  }

  #clear(dpaFrame: number, pages: number): void {
    const local = this.#vramSide;
    const identity = this.vm.identityPage(dpaFrame);
    for (let i = 0; i < pages; ) {
      if (!local.walk(this.vm.root, identity + i))
        throw new RangeError(`clear of DPA frame ${dpaFrame + i} outside VRAM`);
      const count = Math.min(pages - i, local.leafStart + local.leafPages - identity - i);
      this.#vram.clear(local.frame, count);
      i += count;
    }
  }
}

/**
 * Whether every 2M step of the job is one entry of order 9. The kernel goes by the order alone and assumes the
 * address is aligned; here an unaligned one takes the 4K way, which is never wrong.
 */
function isHuge(entries: DmaEntries, first: number, pages: number): boolean {
  if (!isAligned(pages, HPAGE_PMD_NR)) return false;
  for (let i = first; i < first + pages; i += HPAGE_PMD_NR) {
    if (entries.order[i] !== PMD_ORDER || !isAligned(entries.addr[i]! / PAGE_SIZE, HPAGE_PMD_NR))
      return false;
  }
  return true;
}
