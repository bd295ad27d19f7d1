import { HmmPfns, type HmmRange, type MmuIntervalNotifier } from '@gpusvm/hmm';
import { type FaultSite, HPAGE_PMD_NR } from '@gpusvm/kernel';

/** A PFN array and the HMM request that fills it; borrowed from a {@link PfnPool} for one call. */
export class PfnScratch implements HmmRange {
  readonly pfns: HmmPfns;
  notifier: MmuIntervalNotifier;
  notifierSeq = 0;
  startPage = 0;
  endPage = 0;
  defaultFlags = 0;
  readonly pfnFlagsMask: number = 0;
  devPrivateOwner: object | null = null;

  constructor(pages: number, notifier: MmuIntervalNotifier) {
    this.pfns = new HmmPfns(pages);
    this.notifier = notifier;
  }

  /** Pages that fit. */
  get capacity(): number {
    return this.pfns.flags.length;
  }
}

/**
 * Stands for the kvmalloc_array of PFNs in every function that calls HMM: the same failure, without an allocation
 * per call. One array per call that is under way, because HMM sleeps.
 */
export class PfnPool {
  readonly #site: FaultSite;
  readonly #free: PfnScratch[] = [];
  #inUse = 0;

  constructor(site: FaultSite) {
    this.#site = site;
  }

  /** Arrays that were not given back. */
  get inUse(): number {
    return this.#inUse;
  }

  /**
   * Borrow an array for `[startPage, endPage)`. Its flags are zeroed: they are inputs of HMM, and sticky bits of an
   * earlier use would survive (bug G5).
   *
   * @returns null where the kernel has no memory.
   */
  take(
    notifier: MmuIntervalNotifier,
    startPage: number,
    endPage: number,
    owner: object | null,
  ): PfnScratch | null {
    if (this.#site.shouldFail()) return null;
    const npages = endPage - startPage;
    let scratch = this.#free.pop();
    if (scratch === undefined || scratch.capacity < npages) {
      scratch = new PfnScratch(Math.max(npages, HPAGE_PMD_NR), notifier);
    }
    scratch.pfns.flags.fill(0, 0, npages);
    scratch.notifier = notifier;
    scratch.startPage = startPage;
    scratch.endPage = endPage;
    scratch.defaultFlags = 0;
    scratch.devPrivateOwner = owner;
    this.#inUse++;
    return scratch;
  }

  /** Give it back. */
  give(scratch: PfnScratch): void {
    this.#inUse--;
    this.#free.push(scratch);
  }
}
