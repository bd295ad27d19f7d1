import type { DmaDevice } from '@gpusvm/dma-iova';
import type { FolioTable, Mm } from '@gpusvm/hmm';
import type { UmemOdp, UmemUnmap } from '@gpusvm/hmm/umem-odp';
import type { KernelProfile, Machine, Task } from '@gpusvm/kernel';
import type { MirrorDevice, MmRuleId, Property, RuleId } from '@gpusvm/sanitizer';
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
  /** The DMA of that device; null for a virtual device, which has none. */
  readonly rdma: DmaDevice | null;
  /** What the tasks came to, by name, for the properties at the end. */
  readonly results: Map<string, number>;
}

/** A region of an RDMA device for on-demand paging. */
export interface MmRegion {
  /** The device is a virtual one, without DMA. */
  readonly virtual?: true;
  /** log2 of the bytes of an entry; default 12. */
  readonly pageShift?: number;
  readonly unmap?: UmemUnmap;
  /** Its pages stand for memory of a device with this switch above it; the RDMA device's own is `switch 0`. */
  readonly peerSwitch?: string;
}

/**
 * What the explorer has to find: a rule of a sanitizer, or that the tasks can never end, or that one dies, or that they
 * come to something else than they should (`outcome`).
 */
export type MmFinding = MmRuleId | RuleId | 'livelock' | 'deadlock' | 'exception' | 'outcome';

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
  /** And the kernel that is correct; default `linux-7.3`. */
  readonly fixedIn?: KernelProfile;
  /** Pages of RAM; default 64. */
  readonly ramPages?: number;
  /** Pages of the process; default 1. */
  readonly pages?: number;
  /** The pages lie in huge pages. */
  readonly huge?: true;
  /** How many of them the CPU writes, from the first on; default all. */
  readonly written?: number;
  /** Pages of device memory; default 4. */
  readonly devicePages?: number;
  /** The world has an RDMA device with such a region. */
  readonly rdma?: MmRegion;
  /** What is there before the tasks race; default: every page written by the CPU. */
  prepare?(w: MmWorld): Task<void>;
  /** Restore the faulty behaviour. */
  patch(w: MmWorld): void;
  /** What holds when all tasks have ended, beside the rules. */
  readonly outcome?: Property<MmWorld>;
  /** The racing tasks, by name; legal without the patch. */
  readonly tasks: Readonly<Record<string, (w: MmWorld) => Task<unknown>>>;
}
