import type { Waitable } from '@gpusvm/kernel';

/** Between start and return of a notifier callback: whoever waits for that waits for what callbacks take. */
export const INVALIDATION = 'invalidate_range_start';
/** An allocation that may reclaim memory. */
export const RECLAIM = 'fs_reclaim';
/** A folio lock that its taker may sleep for. */
export const FOLIO_LOCK = 'folio lock';

/** One lock class taken under another, as it was seen first. */
export interface LockEdge {
  readonly held: string;
  readonly taken: string;
  /** Who, and everything that was held. */
  readonly witness: string;
}

/** A circle of lock classes. */
export interface LockCycle {
  /** The edge that closed it. */
  readonly closing: LockEdge;
  /** The edges that lead from what was taken back to what was held. */
  readonly chain: readonly LockEdge[];
}

/** Class of a lock: its label without the object that it belongs to. */
export function lockClass(lock: Waitable): string {
  return lock.label.replace(/ of .*$/, '').replaceAll(/\d+/g, 'N');
}

/**
 * Which lock classes were ever taken under which, as kernel/locking/lockdep.c keeps it: a circle is a deadlock that
 * some schedule meets, whether this run met it or not.
 */
export class LockGraph {
  readonly #edges = new Map<string, Map<string, LockEdge>>();
  readonly #closed = new Set<string>();

  constructor() {
    // What mm itself does: reclaim unmaps pages, and unmapping asks the notifiers under the folio lock.
    this.#put({ held: RECLAIM, taken: INVALIDATION, witness: 'reclaim, which unmaps pages' });
    this.#put({ held: FOLIO_LOCK, taken: INVALIDATION, witness: 'try_to_migrate, under the folio lock' });
    this.#put({ held: RECLAIM, taken: FOLIO_LOCK, witness: 'reclaim, which locks folios' });
  }

  /**
   * A task takes a class while it holds others.
   *
   * @returns the circles that this closes for the first time.
   */
  take(task: string, held: readonly string[], taken: string): LockCycle[] {
    const cycles: LockCycle[] = [];
    for (const holder of held) {
      if (holder === taken || this.#edges.get(holder)?.has(taken) === true) continue;
      const closing = { held: holder, taken, witness: `${task}, holding ${held.join(', ')}` };
      const name = [holder, taken].sort().join('|');
      if (this.#closed.has(name)) continue;
      const chain = this.#path(taken, holder);
      if (chain === null) {
        this.#put(closing);
        continue;
      }
      // The edge that closes a circle is not kept, or every later one through it would close another.
      this.#closed.add(name);
      cycles.push({ closing, chain });
    }
    return cycles;
  }

  #put(edge: LockEdge): void {
    let from = this.#edges.get(edge.held);
    if (from === undefined) {
      from = new Map();
      this.#edges.set(edge.held, from);
    }
    from.set(edge.taken, edge);
  }

  /** Edges from one class to another, null when there is no way. */
  #path(from: string, to: string): LockEdge[] | null {
    const seen = new Set([from]);
    const queue: { at: string; path: LockEdge[] }[] = [{ at: from, path: [] }];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (next.at === to) return next.path;
      for (const edge of this.#edges.get(next.at)?.values() ?? []) {
        if (seen.has(edge.taken)) continue;
        seen.add(edge.taken);
        queue.push({ at: edge.taken, path: [...next.path, edge] });
      }
    }
    return null;
  }
}

/** Both chains as text. */
export function cycleText({ closing, chain }: LockCycle): string {
  const line = ({ held, taken, witness }: LockEdge): string => `  ${held} -> ${taken}: ${witness}`;
  return [`${closing.taken} is taken under ${closing.held}`, line(closing), '  the other way round:']
    .concat(chain.map(line))
    .join('\n');
}
