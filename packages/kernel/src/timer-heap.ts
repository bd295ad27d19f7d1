import type { TaskHandle } from './task-handle.ts';

/** Sleeping tasks, earliest instant first, first come first served among equals. Binary heap. */
export class TimerHeap {
  readonly #heap: TaskHandle[] = [];
  #order = 0;

  /** Instant of the earliest sleeper; infinity when nobody sleeps. */
  get nextNs(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0]!.wakeAtNs;
  }

  /** Add a task, to be woken at `handle.wakeAtNs`. O(log n). */
  push(handle: TaskHandle): void {
    handle.wakeOrder = this.#order++;
    const heap = this.#heap;
    let at = heap.push(handle) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!earlier(handle, heap[up]!)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = handle;
  }

  /** Take the earliest sleeper out; the heap must not be empty. O(log n). */
  pop(): TaskHandle {
    const heap = this.#heap;
    const earliest = heap[0]!;
    const moved = heap.pop()!;
    if (heap.length === 0) return earliest;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++;
      if (!earlier(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
    return earliest;
  }
}

function earlier(a: TaskHandle, b: TaskHandle): boolean {
  return a.wakeAtNs < b.wakeAtNs || (a.wakeAtNs === b.wakeAtNs && a.wakeOrder < b.wakeOrder);
}
