import { DMA_FROM_DEVICE, DMA_TO_DEVICE } from '@gpusvm/dma-iova';

/** Weight of a mapping that allows writes; lower bits count those that allow reads. */
export const WRITES: number = 1 << 16;

/** What a mapping adds to the rights of its pages. */
export function rightsOf(dir: number): number {
  return (dir === DMA_FROM_DEVICE ? 0 : 1) + (dir === DMA_TO_DEVICE ? 0 : WRITES);
}

/** Whether rights allow an access. */
export function allows(rights: number, write: boolean): boolean {
  return write ? rights >= WRITES : rights % WRITES > 0;
}
