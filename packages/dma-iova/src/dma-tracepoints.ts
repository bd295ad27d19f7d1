import type { Machine, Tracepoint } from '@gpusvm/kernel';
import {
  DMA_ALLOC_COHERENT,
  DMA_FREE_COHERENT,
  DMA_IOVA_ALLOC,
  DMA_IOVA_FREE,
  DMA_IOVA_LINK,
  DMA_IOVA_SYNC,
  DMA_IOVA_UNLINK,
  DMA_MAP_PHYS,
  DMA_MAP_SG,
  DMA_SYNC_SINGLE,
  DMA_UNMAP_PHYS,
  DMA_UNMAP_SG,
  type DmaCoherentArgs,
  type DmaCoherentEvent,
  type DmaIovaAllocArgs,
  type DmaIovaEvent,
  type DmaIovaFreeArgs,
  type DmaIovaFreeEvent,
  type DmaIovaLinkArgs,
  type DmaIovaLinkEvent,
  type DmaIovaSyncArgs,
  type DmaIovaSyncEvent,
  type DmaIovaUnlinkArgs,
  type DmaIovaUnlinkEvent,
  type DmaMapArgs,
  type DmaMapEvent,
  type DmaSgArgs,
  type DmaSgEvent,
  type DmaSyncSingleArgs,
  type DmaSyncSingleEvent,
} from './tracepoints.ts';

/** @internal Tracepoints that the DMA API functions emit. */
export interface DmaTracepoints {
  readonly iovaAlloc: Tracepoint<DmaIovaEvent, DmaIovaAllocArgs>;
  readonly iovaFree: Tracepoint<DmaIovaFreeEvent, DmaIovaFreeArgs>;
  readonly link: Tracepoint<DmaIovaLinkEvent, DmaIovaLinkArgs>;
  readonly sync: Tracepoint<DmaIovaSyncEvent, DmaIovaSyncArgs>;
  readonly unlink: Tracepoint<DmaIovaUnlinkEvent, DmaIovaUnlinkArgs>;
  readonly mapPhys: Tracepoint<DmaMapEvent, DmaMapArgs>;
  readonly unmapPhys: Tracepoint<DmaMapEvent, DmaMapArgs>;
  readonly mapSg: Tracepoint<DmaSgEvent, DmaSgArgs>;
  readonly unmapSg: Tracepoint<DmaSgEvent, DmaSgArgs>;
  readonly allocCoherent: Tracepoint<DmaCoherentEvent, DmaCoherentArgs>;
  readonly freeCoherent: Tracepoint<DmaCoherentEvent, DmaCoherentArgs>;
  readonly syncSingle: Tracepoint<DmaSyncSingleEvent, DmaSyncSingleArgs>;
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
    mapSg: trace.point(DMA_MAP_SG),
    unmapSg: trace.point(DMA_UNMAP_SG),
    allocCoherent: trace.point(DMA_ALLOC_COHERENT),
    freeCoherent: trace.point(DMA_FREE_COHERENT),
    syncSingle: trace.point(DMA_SYNC_SINGLE),
  };
}
