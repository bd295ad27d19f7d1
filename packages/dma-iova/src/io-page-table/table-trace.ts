import type { Tracepoint } from '@gpusvm/kernel';
import type { IommuTableArgs, IommuTableEvent } from '../tracepoints.ts';

/** Where a table tells that it was taken out of the tree. */
export interface TableTrace {
  readonly domain: string;
  readonly unlink: Tracepoint<IommuTableEvent, IommuTableArgs>;
}
