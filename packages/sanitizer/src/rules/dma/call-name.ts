import type { DmaOp } from '../../op.ts';

/** The call in whose name something is unlinked or freed, with its article. */
export function callName({ api }: DmaOp): string {
  if (api === 'dma_iova_destroy' || api === 'dma_iova_with_holes_destroy') return 'a destroy';
  return api === 'dma_iova_free' ? 'a free' : 'an unlink';
}
