import type { Bug } from './bug.ts';
import { G1 } from './g1.ts';

/** drm_pagemap ends a sparse mapping as drm_gpusvm did (G1): destroy(linked) frees less than the reservation up to 7.2. */
export const P9: Bug = {
  ...G1,
  id: 'P9',
  title: 'a migration to RAM with few pages present frees only the linked prefix',
  source: 'open in drm_pagemap up to 7.2; cured by the DMA core in 7.3',
  evidence: 'inferred',
};
