import { alignDown, type Task } from '@gpusvm/kernel';

/** The pages that a new range may not leave; ends are exclusive. */
export interface ChunkLimits {
  /** Intersection of the CPU VMA, the notifier's window and the GPU VMA. */
  readonly startPage: number;
  readonly endPage: number;
  /** Chunks of at most this many pages must be populated; 4K chunks need not. */
  readonly checkPagesThreshold: number;
}

/**
 * @internal Pages of the chunk around a fault (drm_gpusvm_range_chunk_size): the largest size whose naturally aligned
 * chunk stays inside the limits, meets no other range and, up to the threshold, is populated. A single page skips the
 * last two tests. Sleeps if `populated` does.
 *
 * @param chunkPages - sizes, descending.
 * @param overlaps - whether a range exists in `[start, end)`.
 * @param populated - whether all pages of `[start, end)` are there.
 * @returns the size in pages, 0 when nothing fits.
 */
export function* chooseChunk(
  chunkPages: readonly number[],
  faultPage: number,
  limits: ChunkLimits,
  overlaps: (startPage: number, endPage: number) => boolean,
  populated: (startPage: number, endPage: number) => Task<boolean>,
): Task<number> {
  for (const size of chunkPages) {
    const start = alignDown(faultPage, size);
    const end = start + size;
    if (start < limits.startPage || end > limits.endPage) continue;
    if (size === 1) return size;
    if (overlaps(start, end)) continue;
    if (size <= limits.checkPagesThreshold && !(yield* populated(start, end))) continue;
    return size;
  }
  return 0;
}
