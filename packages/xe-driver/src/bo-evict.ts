import type { DrmBuddy } from '@gpusvm/drm-pagemap';
import {
  done,
  E2BIG,
  EBUSY,
  ENOMEM,
  ENOSPC,
  type Errno,
  type FaultSite,
  type Machine,
  type SchedPoint,
  schedPoint,
  type Task,
  Work,
  WorkQueue,
} from '@gpusvm/kernel';
import { XeBo } from './bo.ts';
import { BO_EVICT } from './counters.ts';
import type { XeDevice } from './xe-device.ts';

/** The memory manager chose a victim. */
export const BO_VICTIM: SchedPoint = schedPoint('xe_bo_evict: victim chosen');

/**
 * Memory manager of a device (ttm_resource_manager with the buddy allocator, xe_ttm_vram_mgr.c): allocation,
 * least-recently-used list, eviction when memory runs out.
 */
export class XeBoManager {
  readonly #xe: XeDevice;
  readonly #buddy: DrmBuddy;
  readonly #site: FaultSite;
  /** Buffers that pages may live in, least recently used first. */
  readonly #lru = new Set<XeBo>();
  readonly #dead: XeBo[] = [];
  readonly #queue: WorkQueue;
  readonly #work: Work;
  #live = 0;

  constructor(machine: Machine, xe: XeDevice, buddy: DrmBuddy) {
    this.#xe = xe;
    this.#buddy = buddy;
    this.#site = machine.faultInjection.site('xe.bo_create');
    this.#queue = new WorkQueue(machine, 'xe bo put');
    this.#work = new Work(() => done(this.#releaseDead()));
    machine.ledger.register(() => [{ kind: 'xe bo', count: this.#live, detail: `${this.#live} buffers` }]);
  }

  /** Buffers alive. */
  get live(): number {
    return this.#live;
  }

  /**
   * A locked, contiguous, naturally aligned buffer whose memory is being cleared; the caller has the `creator`
   * reference. Evicts least recently used buffers when memory is short. Sleeps. Asks fault site `xe.bo_create`.
   *
   * @returns the buffer; -E2BIG when it can never fit; -ENOSPC when nothing more can be evicted; -ENOMEM.
   */
  *create(pages: number): Task<XeBo | Errno> {
    if (this.#site.shouldFail()) return -ENOMEM;
    if (pages > this.#xe.vram.pages) return -E2BIG;
    let block = this.#buddy.alloc(pages);
    while (block === null) {
      const err = yield* this.evictOne();
      if (err !== 0) return err;
      block = this.#buddy.alloc(pages);
    }
    const fence = this.#xe.migrate.clear(this.#xe.vram.dpaBaseFrame + block.offsetPages, pages);
    if (typeof fence === 'number') {
      this.#buddy.free(block);
      return fence;
    }
    const bo = new XeBo(this.#xe, block, fence, (dead) => this.#release(dead));
    this.#live++;
    this.#lru.add(bo);
    bo.resv.tryLock();
    return bo;
  }

  /**
   * Make room by moving the least recently used buffer out; one that is busy or does not move is passed over
   * (-EBUSY becomes -ENOSPC for it, as in 7.3). Sleeps.
   *
   * @returns 0, or -ENOSPC when no buffer could be moved.
   */
  *evictOne(): Task<Errno> {
    // Memory of buffers that wait for their last put is free for the asking.
    if (this.#dead.length > 0) {
      this.#releaseDead();
      return 0;
    }
    for (const bo of this.#lru) {
      if (bo.block === null || bo.evictToRam === null || !bo.resv.tryLock()) continue;
      bo.ref.get('evict');
      if (this.#xe.machine.scheduler.preemptive) yield BO_VICTIM;
      const err = yield* this.#evict(bo);
      bo.resv.unlock();
      bo.ref.put('evict');
      if (err === 0) return 0;
      if (err !== -EBUSY && err !== -ENOSPC) return err;
    }
    return -ENOSPC;
  }

  /** Drop the reference of a device memory allocation later, by a worker. Does not sleep; any context. */
  putAsync(bo: XeBo): void {
    this.#dead.push(bo);
    this.#queue.queueWork(this.#work);
  }

  /** Sleep until every buffer that waits for its last put is gone. */
  *flush(): Task<void> {
    yield* this.#queue.flush();
  }

  /** xe_svm_bo_evict: success frees the memory at once, whoever still refers to the buffer. */
  *#evict(bo: XeBo): Task<Errno> {
    const { machine, counters, trace } = this.#xe;
    const offsetPages = bo.block!.offsetPages;
    const err = bo.evictToRam === null ? -EBUSY : yield* bo.evictToRam();
    counters.values[BO_EVICT]!++;
    if (err === 0) this.#freeMemory(bo);
    if (trace.boEvict.enabled) trace.boEvict.emit({ offsetPages, pages: bo.pages, error: err });
    if (machine.scheduler.preemptive) yield BO_VICTIM;
    return err;
  }

  #freeMemory(bo: XeBo): void {
    if (bo.block === null) return;
    this.#buddy.free(bo.block);
    bo.block = null;
    this.#lru.delete(bo);
  }

  #release(bo: XeBo): void {
    this.#freeMemory(bo);
    this.#live--;
  }

  #releaseDead(): void {
    for (let bo = this.#dead.shift(); bo !== undefined; bo = this.#dead.shift()) bo.ref.put('devmem');
  }
}

/**
 * Move buffers back to system memory, least recently used first, until `pages` pages of device memory are free
 * (or everything is out). Sleeps.
 *
 * @returns 0, or -ENOSPC when what is left cannot be moved.
 */
export function* evictVram(xe: XeDevice, pages: number): Task<Errno> {
  yield* xe.bos.flush();
  const goal = Math.min(pages, xe.vram.pages);
  while (xe.buddy.freePages < goal) {
    const err = yield* xe.bos.evictOne();
    if (err !== 0) return err;
    yield* xe.bos.flush();
  }
  return 0;
}
