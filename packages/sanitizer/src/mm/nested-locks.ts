import type { TaskHandle, Waitable } from '@gpusvm/kernel';
import { type LockCycle, type LockEdge, lockClass } from './lock-graph.ts';

/**
 * Which lock was ever taken under another one of its own class. A graph of classes cannot tell two locks of one class
 * apart, so these are known each by itself: two that were taken in both orders deadlock in some schedule. (Lockdep
 * warns about any such nesting that is not annotated.)
 */
export class NestedLocks {
  readonly #edges = new Map<Waitable, Map<Waitable, LockEdge>>();
  readonly #closed = new Set<LockEdge>();

  /** A task has taken a lock; it is among its locks already. @returns circles that this closes for the first time. */
  take(task: TaskHandle, lock: Waitable): LockCycle[] {
    const cycles: LockCycle[] = [];
    const own = lockClass(lock);
    for (const held of task.held) {
      if (held === lock || lockClass(held) !== own) continue;
      const closing = this.#edge(task, held, lock);
      const chain = this.#path(lock, held, new Set());
      if (chain === null || this.#closed.has(closing)) continue;
      this.#closed.add(closing);
      cycles.push({ closing, chain });
    }
    return cycles;
  }

  #edge(task: TaskHandle, held: Waitable, taken: Waitable): LockEdge {
    const from = this.#edges.get(held) ?? new Map<Waitable, LockEdge>();
    this.#edges.set(held, from);
    const known = from.get(taken);
    if (known !== undefined) return known;
    const holding = task.held.filter((lock) => lock !== taken).map(({ label }) => label);
    const edge = {
      held: held.label,
      taken: taken.label,
      witness: `${task.name}, holding ${holding.join(', ')}`,
    };
    from.set(taken, edge);
    return edge;
  }

  #path(from: Waitable, to: Waitable, seen: Set<Waitable>): LockEdge[] | null {
    seen.add(from);
    for (const [next, edge] of this.#edges.get(from) ?? []) {
      if (next === to) return [edge];
      const rest = seen.has(next) ? null : this.#path(next, to, seen);
      if (rest !== null) return [edge, ...rest];
    }
    return null;
  }
}
