import type { Machine, Tracepoint } from '@gpusvm/kernel';
import { C_IOTLB_DESC, C_IOTLB_INV, dmaCounters } from './dma-counters.ts';
import { enclosingOrder } from './invalidation-order.ts';
import type { Iotlb } from './iotlb.ts';
import { IOTLB_INVALIDATE, type IotlbInvalidateArgs, type IotlbInvalidateEvent } from './tracepoints.ts';

/**
 * Where invalidations of one domain are submitted and waited for: counted, traced, and carried out on its IOTLB.
 *
 * Hardware takes naturally aligned blocks only, so a range becomes the block that encloses it, and the whole domain
 * when that block is larger than the format allows.
 */
export class InvalidationQueue {
  readonly #name: string;
  readonly #iotlb: Iotlb;
  readonly #counters: Float64Array;
  readonly #maxOrder: number;
  /** Descriptors an invalidation: one more for a device with a TLB of its own. */
  readonly #descriptors: number;
  readonly #point: Tracepoint<IotlbInvalidateEvent, IotlbInvalidateArgs>;

  constructor(machine: Machine, name: string, iotlb: Iotlb, maxOrder: number, ats: boolean) {
    this.#name = name;
    this.#iotlb = iotlb;
    this.#counters = dmaCounters(machine).values;
    this.#maxOrder = maxOrder;
    this.#descriptors = ats ? 2 : 1;
    this.#point = machine.trace.point(IOTLB_INVALIDATE);
  }

  /**
   * Invalidate `[start, end)`, in pages.
   *
   * @param leafOnly - no table was freed: page-walk caches stay (the IH hint of VT-d).
   */
  range(start: number, end: number, leafOnly: boolean): void {
    const order = enclosingOrder(start, end - 1);
    if (order > this.#maxOrder) {
      this.all();
      return;
    }
    this.#count();
    const base =
      order < 31 ? start - (start & ((1 << order) - 1)) : Math.floor(start / 2 ** order) * 2 ** order;
    this.#iotlb.invalidate(base, order, leafOnly);
    if (this.#point.enabled) this.#point.emit(this.#name, base, order, leafOnly);
  }

  /** Invalidate everything. */
  all(): void {
    this.#count();
    this.#iotlb.invalidateAll();
    if (this.#point.enabled) this.#point.emit(this.#name, 0, -1, false);
  }

  #count(): void {
    this.#counters[C_IOTLB_INV]!++;
    this.#counters[C_IOTLB_DESC]! += this.#descriptors;
  }
}
