import type { MappingKind } from './inline-link.ts';

/** A live mapping as the rules look at it; made on demand, because most calls need none. */
export interface MappingView {
  readonly kind: MappingKind;
  readonly firstPage: number;
  readonly pages: number;
  readonly addrBytes: number;
  readonly physBytes: number;
  readonly sizeBytes: number;
  readonly dir: number;
  readonly attrs: number;
  /** Reservation of a link; 0 otherwise. */
  readonly reservation: number;
  /** Number of the task that made it, and of its call. */
  readonly task: number;
  readonly call: number;
  /** Some part goes through a bounce slot. */
  readonly bounced: boolean;
}
