/**
 * Content tags: one number stands for the contents of a page. Every page of a capture starts with a tag of its
 * own and the GPU replaces it by another one, so a page that arrives at the wrong place, or not at all, is seen.
 */

/** Added by the GPU to the tag it read; far above any page index, exact in a double. */
const GPU_WRITTEN = 2 ** 40;

/** What the process wrote into its n-th captured page. */
export function cpuTag(index: number): number {
  return index + 1;
}

/** What the GPU writes into that page. */
export function gpuTag(index: number): number {
  return GPU_WRITTEN + index + 1;
}
