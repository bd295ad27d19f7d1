import type { FolioTable, Mm } from '@gpusvm/hmm';
import type { UmemOdp } from '@gpusvm/hmm/umem-odp';
import type { KernelProfile, Machine, Task } from '@gpusvm/kernel';
import type { MirrorDevice, MmRuleId, RuleId } from '@gpusvm/sanitizer';
import type { Evidence } from '../bug.ts';

/** First page of the memory that the tasks of a trigger use. */
export const FIRST = 1024;

/** A process with a device that mirrors it, watched by every rule on mm and on DMA. */
export interface MmWorld {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly dev: MirrorDevice;
  /** A region for on-demand paging of an RDMA device, where the bug asks for one; it is not open yet. */
  readonly odp: UmemOdp | null;
}

/** What the explorer has to find: a rule of a sanitizer, or that the tasks can never end, or a callback that dies. */
export type MmFinding = MmRuleId | RuleId | 'livelock' | 'deadlock' | 'exception';

/**
 * A historical bug of hmm, migrate_vma, notifiers or their users as a live patch: correct code in every package, one
 * step of the driver replaced in this world only. The explorer runs the trigger under every interleaving, must find
 * the bug on the patched code, and nothing on the correct one.
 */
export interface MmBug {
  /** Id in the catalogue of real bugs. */
  readonly id: string;
  readonly title: string;
  /** Commit, CVE or message that fixed or describes it. */
  readonly source: string;
  readonly evidence: Evidence;
  readonly finds: MmFinding;
  /** Where the bug is a property of the kernel: that kernel. */
  readonly profile?: KernelProfile;
  /** Pages of the process; default 1. */
  readonly pages?: number;
  /** Pages of device memory; default 4. */
  readonly devicePages?: number;
  /** The world has an RDMA device. */
  readonly rdma?: true;
  /** What is there before the tasks race; default: every page written by the CPU. */
  prepare?(w: MmWorld): Task<void>;
  /** Restore the faulty behaviour. */
  patch(w: MmWorld): void;
  /** The racing tasks, by name; legal without the patch. */
  readonly tasks: Readonly<Record<string, (w: MmWorld) => Task<unknown>>>;
}
