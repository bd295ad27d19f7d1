import { NO_PFN } from '@gpusvm/dma-iova';
import { MigratePfns } from '@gpusvm/hmm';
import { roundupPowOfTwo } from '@gpusvm/kernel';
import { MapState } from './map-strategy/map-state.ts';
import { PagemapAddrs } from './pagemap-addr.ts';
import { SystemPages } from './system-pages.ts';

/** The arrays of one migration: the one zeroed buffer that the kernel allocates, cut into its parts. */
export class MigrateBuffers {
  /** Slots; at least the pages of the migration. */
  readonly capacity: number;
  readonly src: MigratePfns;
  readonly dst: MigratePfns;
  /** Device pages as the copy operations want them, by page; NO_PFN = hole. */
  readonly pages: Float64Array;
  readonly addrs: PagemapAddrs;
  /** What the strategy maps, and what it did. */
  readonly sys: SystemPages;
  readonly state: MapState = new MapState();

  constructor(capacity: number) {
    this.capacity = capacity;
    this.src = new MigratePfns(capacity);
    this.dst = new MigratePfns(capacity);
    this.pages = new Float64Array(capacity).fill(NO_PFN);
    this.addrs = new PagemapAddrs(capacity);
    this.sys = new SystemPages(capacity);
  }

  /** As fresh from kvcalloc, for the first `npages` slots. */
  clear(npages: number): void {
    this.src.clear(0, npages);
    this.dst.clear(0, npages);
    this.pages.fill(NO_PFN, 0, npages);
    this.addrs.clear(npages);
    this.sys.reset();
  }
}

/** Buffers kept per class, so that concurrent migrations do not allocate either. */
const KEEP = 4;

/**
 * Buffers by size class (powers of two), so that a fault does not allocate 512-entry arrays. Belongs to a
 * pagemap; several tasks may hold buffers at once.
 */
export class MigrateBufferPool {
  /** Buffers handed out and not returned. */
  inUse = 0;
  readonly #free = new Map<number, MigrateBuffers[]>();

  /** Cleared buffers for `npages` slots. */
  take(npages: number): MigrateBuffers {
    const capacity = roundupPowOfTwo(npages);
    const buffers = this.#free.get(capacity)?.pop() ?? new MigrateBuffers(capacity);
    buffers.clear(npages);
    this.inUse++;
    return buffers;
  }

  /** Give buffers back. Nothing may be mapped through them any more. */
  give(buffers: MigrateBuffers): void {
    if (buffers.state.active) throw new Error('migration buffers returned with a live DMA mapping');
    this.inUse--;
    const list = this.#free.get(buffers.capacity);
    if (list === undefined) this.#free.set(buffers.capacity, [buffers]);
    else if (list.length < KEEP) list.push(buffers);
  }
}
