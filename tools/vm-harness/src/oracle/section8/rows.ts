import { destroyRows } from './destroy.ts';
import { invalidationRows } from './invalidation.ts';
import { lazyTableRows } from './lazy-tables.ts';
import { linkRows } from './link.ts';
import type { Section8Row } from './row.ts';
import { tryAllocRows } from './try-alloc.ts';
import { unlinkRows } from './unlink.ts';

/** Every row of section 8 but row 4, which is about the kernel's command line. */
export const SECTION_8: readonly Section8Row[] = [
  ...tryAllocRows,
  ...linkRows,
  ...unlinkRows,
  ...destroyRows,
  ...lazyTableRows,
  ...invalidationRows,
];
