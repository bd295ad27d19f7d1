import type { Machine, Tracepoint } from '@gpusvm/kernel';
import {
  DMA_IOVA_ALLOC,
  DMA_IOVA_FREE,
  DMA_IOVA_LINK,
  DMA_IOVA_SYNC,
  DMA_IOVA_UNLINK,
  DMA_MAP_PHYS,
  DMA_UNMAP_PHYS,
  type DmaIovaEvent,
  type DmaIovaLinkEvent,
  type DmaIovaSyncEvent,
  type DmaIovaUnlinkEvent,
  type DmaMapEvent,
} from './tracepoints.ts';

/** @internal Tracepoints that the DMA API functions emit. */
export interface DmaTracepoints {
  readonly iovaAlloc: Tracepoint<DmaIovaEvent>;
  readonly iovaFree: Tracepoint<DmaIovaEvent>;
  readonly link: Tracepoint<DmaIovaLinkEvent>;
  readonly sync: Tracepoint<DmaIovaSyncEvent>;
  readonly unlink: Tracepoint<DmaIovaUnlinkEvent>;
  readonly mapPhys: Tracepoint<DmaMapEvent>;
  readonly unmapPhys: Tracepoint<DmaMapEvent>;
}

/** The DMA API's tracepoints of a machine. */
export function dmaTracepoints(machine: Machine): DmaTracepoints {
  const { trace } = machine;
  return {
    iovaAlloc: trace.point(DMA_IOVA_ALLOC),
    iovaFree: trace.point(DMA_IOVA_FREE),
    link: trace.point(DMA_IOVA_LINK),
    sync: trace.point(DMA_IOVA_SYNC),
    unlink: trace.point(DMA_IOVA_UNLINK),
    mapPhys: trace.point(DMA_MAP_PHYS),
    unmapPhys: trace.point(DMA_UNMAP_PHYS),
  };
}
