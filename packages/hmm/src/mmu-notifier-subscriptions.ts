import { IntervalTree, WaitQueue } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import type { MmuIntervalNotifier } from './mmu-interval-notifier.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';

/** The ranges between start and end: one or two, so that an array is quicker than a Set, which has to hash them. */
export class ActiveRanges {
  readonly #ranges: MmuNotifierRange[] = [];

  get size(): number {
    return this.#ranges.length;
  }

  has(range: MmuNotifierRange): boolean {
    return this.#ranges.includes(range);
  }

  add(range: MmuNotifierRange): void {
    this.#ranges.push(range);
  }

  delete(range: MmuNotifierRange): void {
    const ranges = this.#ranges;
    const at = ranges.indexOf(range);
    if (at < 0) return;
    const last = ranges.pop()!;
    if (at < ranges.length) ranges[at] = last;
  }
}

/**
 * Interval notifiers of one mm and the collision-retry state they share (struct mmu_notifier_subscriptions).
 * The sequence is odd while a writer is present, and then the tree is frozen.
 */
export class MmuNotifierSubscriptions {
  invalidateSeq = 2;
  /** Ranges between start and end. */
  readonly active: ActiveRanges = new ActiveRanges();
  readonly tree: IntervalTree<MmuIntervalNotifier>;
  /** Inserts and removes that wait for the last end; a member that is in the tree is to be removed. */
  readonly deferred: Set<MmuIntervalNotifier> = new Set();
  readonly queue: WaitQueue;

  constructor(mm: Mm) {
    this.tree = new IntervalTree<MmuIntervalNotifier>(
      (sub) => sub.startPage,
      (sub) => sub.lastPage,
    );
    this.queue = new WaitQueue(mm.machine.scheduler, `invalidation of ${mm.name}`);
  }

  /** mn_itree_is_invalidating */
  get invalidating(): boolean {
    return (this.invalidateSeq & 1) === 1;
  }

  /** Subscriptions that were inserted and not removed, for the ledger. */
  describe(): string[] {
    const out: string[] = [];
    const name = (sub: MmuIntervalNotifier): void => {
      out.push(`${sub.mm?.name ?? '?'} pages ${sub.startPage}..${sub.lastPage}`);
    };
    this.tree.forEach(name);
    for (const sub of this.deferred) if (!this.tree.has(sub)) name(sub);
    return out;
  }

  /** mn_itree_inv_end: the last end makes the sequence even and catches up with inserts and removes. */
  end(range: MmuNotifierRange): void {
    this.active.delete(range);
    if (this.active.size > 0 || !this.invalidating) return;
    this.invalidateSeq++;
    if (this.deferred.size > 0) this.#catchUp();
    this.queue.wakeAll();
  }

  #catchUp(): void {
    for (const sub of this.deferred) {
      if (this.tree.has(sub)) this.tree.remove(sub);
      else this.tree.insert(sub);
    }
    this.deferred.clear();
  }
}
