import type { MmRule } from '../../mm/mm-rule.ts';
import { LOCK_ORDER } from './lock-order.ts';
import { FREE_IS_FREE } from './s01-free.ts';
import { REFERENCES } from './s02-references.ts';
import { ONE_COPY } from './s03-one-copy.ts';
import { MIGRATION_ENTRY } from './s04-migration-entry.ts';
import { PAGEMAP_REFERENCES } from './s05-pagemap-references.ts';
import { STALE_PFN } from './s06-stale-pfn.ts';
import { AFTER_INVALIDATE } from './s07-after-invalidate.ts';
import { SET_SEQ } from './s08-set-seq.ts';
import { NOTIFIER_LOCKS } from './s09-notifier-locks.ts';
import { BLOCKABLE } from './s10-blockable.ts';
import { PARITY } from './s11-parity.ts';
import { DESTINATION } from './s12-destination.ts';
import { CONTENTS } from './s13-contents.ts';
import { UNCOMMITTED } from './s14-uncommitted.ts';
import { SOURCE_MAPPED } from './s15-source-mapped.ts';
import { SOURCE_WRITTEN } from './s16-source-written.ts';
import { TRANSACTION } from './s17-transaction.ts';
import { FAULT_FOLIO } from './s18-fault-folio.ts';
import { DMA_OUTLIVES } from './s19-dma-outlives.ts';
import { DMA_FLAGS } from './s20-dma-flags.ts';
import { P2PDMA } from './s21-p2pdma.ts';
import { WRITE_PERMISSION } from './s22-write.ts';

/** Every rule on mm, in the order of specification `hmm`, section 3. */
export const MM_RULES: readonly MmRule[] = [
  FREE_IS_FREE,
  REFERENCES,
  ONE_COPY,
  MIGRATION_ENTRY,
  PAGEMAP_REFERENCES,
  STALE_PFN,
  AFTER_INVALIDATE,
  SET_SEQ,
  NOTIFIER_LOCKS,
  BLOCKABLE,
  PARITY,
  DESTINATION,
  CONTENTS,
  UNCOMMITTED,
  SOURCE_MAPPED,
  SOURCE_WRITTEN,
  TRANSACTION,
  FAULT_FOLIO,
  DMA_OUTLIVES,
  DMA_FLAGS,
  P2PDMA,
  WRITE_PERMISSION,
  LOCK_ORDER,
];
