import type { IoPageTableFormat, UnmapModel } from '../io-page-table/format.ts';

/** What a domain promises to its users. Every page-table format is one; others are written down by themselves. */
export interface DomainRules
  extends Pick<IoPageTableFormat, 'leafOrders' | 'granuleOrder' | 'bitsPerLevel' | 'unaligned'> {
  /** What a map over something mapped gives: -EADDRINUSE, or -EEXIST with or without a warning. */
  readonly occupied: IoPageTableFormat['occupied'] | 'eexist';
  readonly unmap: Omit<UnmapModel, 'returns'> & {
    /** `mapped`: the pages that were mapped, holes not counted. */
    readonly returns: UnmapModel['returns'] | 'mapped';
  };
  /** A leaf is what one map made, of any length, and is unmapped whole. */
  readonly areas?: boolean;
}
