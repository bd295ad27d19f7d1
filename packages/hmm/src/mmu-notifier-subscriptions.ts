import { IntervalTree, WaitQueue } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';
import type { MmuIntervalNotifier } from './mmu-interval-notifier.ts';
import type { MmuNotifierRange } from './mmu-notifier-range.ts';

/**
 * Interval notifiers of one mm and the collision-retry state they share (struct mmu_notifier_subscriptions).
 * The sequence is odd while a writer is present, and then the tree is frozen.
 */
export class MmuNotifierSubscriptions {
  invalidateSeq = 2;
  /** Ranges between start and end. */
  readonly active: Set<MmuNotifierRange> = new Set();
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
