import type { DmaIovaState } from '@gpusvm/dma-iova';
import type { TaskHandle } from '@gpusvm/kernel';
import type { CallSites } from '../call-sites.ts';
import type { FreshMap } from '../shadow/fresh-map.ts';
import type { Frames } from '../shadow/frames.ts';
import { REGION_PAGES } from '../shadow/region.ts';
import { LINKED, PRESENT, RESERVED } from '../shadow/slot-flags.ts';
import { NO_REGION, type SlotRegion } from '../shadow/slot-region.ts';

// V8 folds a module's own constants, not imported ones (docs/decisions/0002-hot-paths.md).
const OWN_RESERVED = RESERVED;
const LINKED_SLOT = RESERVED | PRESENT | LINKED;

/**
 * Links of consecutive pages of one region, one page each, alike in all but their frames: almost every link. A page
 * that the page table maps and that goes on with the row waits here for its link. Frames are entered at once, the rest
 * when the row ends, which any other event makes it do.
 *
 * Its fields are open, and what is called for every page is small, so that V8 inlines it where the DMA layer emits.
 */
export class LinkRow {
  /** The page that goes on with the row; -1 = none. */
  expected = -1;
  /** It is mapped, to this frame; its link comes next. */
  mapped = false;
  pfn = 0;
  /** Domain and rights of every page. */
  name = '';
  prot = 0;
  /** Reservation and task of every link; {@link LinkSeries} sets them, and the end of the frames. */
  state: DmaIovaState | null = null;
  task: TaskHandle | null = null;
  frameEnd = 0;
  dir = 0;
  /** Behind the last page that may go on with the row. */
  endPage = 0;
  region: SlotRegion = NO_REGION;
  /** First slot in the region. */
  first = 0;
  /** Links so far. */
  count = 0;
  readonly scheduler: { readonly current: TaskHandle | null };
  readonly frames: Frames;
  readonly #sites: CallSites;
  #link = 0;
  #firstCall = 0;

  constructor(scheduler: { readonly current: TaskHandle | null }, frames: Frames, sites: CallSites) {
    this.scheduler = scheduler;
    this.frames = frames;
    this.#sites = sites;
  }

  /**
   * Begin a row with the page that was just mapped, whose frame is taken.
   *
   * @param link - what is mapped, see `inline-link.ts`.
   * @param endPage - behind the last page that may be linked.
   */
  begin(fresh: FreshMap, dir: number, link: number, endPage: number): void {
    const sites = this.#sites;
    const { page, region } = fresh;
    this.name = fresh.name;
    this.prot = fresh.prot;
    this.dir = dir;
    this.region = region;
    this.first = page & (REGION_PAGES - 1);
    this.#link = link;
    this.#firstCall = sites.next();
    // A call whose site is wanted has to be seen when it comes.
    this.endPage = sites.wanted === 0 ? Math.min(endPage, region.base + REGION_PAGES) : page;
    this.enter(page, fresh.pfn);
  }

  /** The link of the page that waits; false, with nothing changed, when it is another one. */
  take(state: DmaIovaState, start: number, physBytes: number, dir: number): boolean {
    const { expected, pfn } = this;
    if (
      state !== this.state ||
      dir !== this.dir ||
      expected * 4096 !== start ||
      pfn * 4096 !== physBytes ||
      pfn >= this.frameEnd ||
      this.scheduler.current !== this.task ||
      this.frames.takeLeaf(pfn) === false
    )
      return false;
    this.enter(expected, pfn);
    return true;
  }

  /** A link of a page whose frame is taken. */
  enter(page: number, pfn: number): void {
    const { region } = this;
    const i = page & 511;
    this.mapped = false;
    region.pfnOf[i] = pfn;
    this.count++;
    this.expected = page + 1 < this.endPage && region.flagsOf[i + 1] === OWN_RESERVED ? page + 1 : -1;
  }

  /** Enter what the links have in common. @returns their number. */
  end(): number {
    const { count, first } = this;
    if (count === 0) return 0;
    this.count = 0;
    this.expected = -1;
    const { flagsOf, linkOf, callOf } = this.region;
    const end = first + count;
    flagsOf.fill(LINKED_SLOT, first, end);
    linkOf.fill(this.#link, first, end);
    for (let i = first, call = this.#firstCall; i < end; i++, call++) callOf[i] = call;
    this.#sites.calls += count - 1;
    return count;
  }
}
