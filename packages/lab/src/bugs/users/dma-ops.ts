import {
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
} from '@gpusvm/dma-iova';
import type { Errno } from '@gpusvm/kernel';

/** The DMA layer as its users in this folder call it: a table of functions, so that a live patch can replace one. */
export interface DmaOps {
  tryAlloc: (dev: DmaDevice, state: DmaIovaState, physBytes: number, sizeBytes: number) => boolean;
  free: (dev: DmaDevice, state: DmaIovaState) => void;
  link: (
    dev: DmaDevice,
    state: DmaIovaState,
    physBytes: number,
    offsetBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
  ) => Errno;
  sync: (dev: DmaDevice, state: DmaIovaState, offsetBytes: number, sizeBytes: number) => Errno;
  unlink: (
    dev: DmaDevice,
    state: DmaIovaState,
    offsetBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
  ) => void;
  destroy: (
    dev: DmaDevice,
    state: DmaIovaState,
    mappedBytes: number,
    dir: DmaDataDirection,
    attrs: number,
  ) => void;
  mapPhys: (
    dev: DmaDevice,
    physBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
  ) => number;
  unmapPhys: (
    dev: DmaDevice,
    addrBytes: number,
    sizeBytes: number,
    dir: DmaDataDirection,
    attrs: number,
  ) => void;
}

/** The correct layer, in a table of its own. */
export function dmaOps(): DmaOps {
  return {
    tryAlloc: dmaIovaTryAlloc,
    free: dmaIovaFree,
    link: dmaIovaLink,
    sync: dmaIovaSync,
    unlink: dmaIovaUnlink,
    destroy: dmaIovaDestroy,
    mapPhys: dmaMapPhys,
    unmapPhys: dmaUnmapPhys,
  };
}
