import type { DmaDevice, DmaDeviceOptions, IommuMode, TagMemory } from '@gpusvm/dma-iova';
import type { KernelProfileName, Machine } from '@gpusvm/kernel';
import type { RuleId, Sanitizer } from '@gpusvm/sanitizer';
import type { DmaOps } from './users/dma-ops.ts';
import type { GuestOps } from './users/guest-memory.ts';
import type { RangeOps } from './users/range-mapper.ts';
import type { VectorOps } from './users/vector-mapper.ts';

/** How sure the catalogue is of a bug: read in code or mail, from its subject only, inferred. */
export type Evidence = 'read' | 'subject' | 'inferred';

/** Where a bug is replayed: a machine with one device, and correct users of the DMA layer. */
export interface World {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly dev: DmaDevice;
  readonly sanitizer: Sanitizer;
  /** The layer as the users call it. */
  readonly dma: DmaOps;
  readonly vectors: VectorOps;
  readonly ranges: RangeOps;
  readonly guests: GuestOps;
  /** Take `2^order` pages for an owner and tell the sanitizer whose they are. */
  alloc(order: number, owner?: string): number;
  /** Give pages back. */
  release(pfn: number, order: number): void;
}

/**
 * A historical bug as a live patch on correct code. The packages never contain it: the patch replaces one function
 * of a user of the API or one operation of the layer, in this world only.
 */
export interface Bug {
  /** Id in the catalogue of real bugs. */
  readonly id: string;
  readonly title: string;
  /** Commit, CVE or message that fixed or describes it. */
  readonly source: string;
  readonly evidence: Evidence;
  /** The rule that must be named, by mode; in the other modes the bug does not show. */
  readonly rules: Readonly<Partial<Record<IommuMode, RuleId>>>;
  /** Kernel that had it; default `linux-7.3`. */
  readonly profile?: KernelProfileName;
  readonly device?: Partial<DmaDeviceOptions>;
  /** Restore the faulty behaviour. */
  patch(w: World): void;
  /** Fewest steps that show it; the same program is legal without the patch. */
  trigger(w: World): void;
}

/** Both translating modes. */
export function translated(rule: RuleId): Bug['rules'] {
  return { strict: rule, lazy: rule };
}

/** All four modes. */
export function everywhere(rule: RuleId): Bug['rules'] {
  return { none: rule, strict: rule, lazy: rule, swiotlb: rule };
}
