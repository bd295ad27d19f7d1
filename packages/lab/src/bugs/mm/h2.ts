import { FOLIO_HEAD } from '@gpusvm/hmm';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug } from './mm-bug.ts';

/** Finalize puts the source on the LRU after its last reference is gone: its page structure is written when free. */
export const H2: MmBug = {
  id: 'H2',
  title: 'finalize puts a freed folio on the LRU',
  source: 'CVE-2025-21861',
  evidence: 'inferred',
  finds: 'S1',
  patch({ dev, folios }) {
    const { finalize } = dev.ops;
    dev.ops.finalize = function* (args) {
      const source = args.src.pfn[0]!;
      yield* finalize(args);
      if (source >= 0) folios.flags[source]! |= FOLIO_HEAD;
    };
  },
  tasks: { driver: ({ dev }) => migrateToDevice(dev, FIRST, FIRST + 1) },
};
