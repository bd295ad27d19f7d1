import type { IoPageTableFormat } from './io-page-table/format.ts';

/** How a {@link PagingDomain} is made. */
export interface PagingDomainOptions {
  /** Name of the device, for events and messages. */
  readonly name: string;
  readonly format: IoPageTableFormat;
  /** Levels of the page table; default the format's usual number. */
  readonly levels?: number;
  /** The hardware caches entries that are not present, so a new mapping needs an invalidation (VT-d CM, NpCache). */
  readonly cachingMode?: boolean;
  /** Devices with a TLB of their own: one more descriptor an invalidation. */
  readonly ats?: boolean;
  /** Last IOVA page of the aperture; default the format's whole space, at most 2^48 bytes. */
  readonly apertureLastPage?: number;
}
