import { dmaIovaLink, DmaIovaState, dmaIovaSync, dmaIovaTryAlloc } from '@gpusvm/dma-iova';
import type { Rig } from '../rig.ts';

const P = 4096;

/** A reservation. */
export function reserve(r: Rig, pages: number, pad = 0): DmaIovaState {
  const s = new DmaIovaState();
  dmaIovaTryAlloc(r.dev, s, pad, pages * P - pad);
  return s;
}

/** Link pages one by one, in an order that leaves no two neighbours contiguous; returns their first frame. */
export function link(r: Rig, s: DmaIovaState, pages: number): number {
  const pfn = r.memory.allocPages(Math.ceil(Math.log2(pages)));
  for (let i = 0; i < pages; i++) dmaIovaLink(r.dev, s, (pfn + pages - 1 - i) * P, i * P, P, 0, 0);
  return pfn;
}

/** Reserved, linked and synced. */
export function ready(r: Rig, pages: number): DmaIovaState {
  const s = reserve(r, pages);
  link(r, s, pages);
  dmaIovaSync(r.dev, s, 0, pages * P);
  return s;
}
