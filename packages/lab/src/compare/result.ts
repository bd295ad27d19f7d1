import type { IommuMode } from '@gpusvm/dma-iova';
import type { MapStrategyName } from '@gpusvm/drm-pagemap';
import type { KernelProfileName, LiveItem } from '@gpusvm/kernel';

/** Size of the pieces in which the GPU faults memory in. */
export type FaultSize = '2M' | '64K' | '4K';

/** What is compared. */
export interface CompareOptions {
  readonly strategies: readonly MapStrategyName[];
  readonly iommu: IommuMode;
  readonly fault: FaultSize;
  readonly kernel: KernelProfileName;
  /** Seed of every choice of the simulation. */
  readonly seed: number;
}

/** Pages whose contents were compared with what must be there. */
export interface DataCheck {
  readonly pagesChecked: number;
  readonly mismatches: number;
  /** The first wrong page in words, or null. */
  readonly firstMismatch: string | null;
}

/** Time by the cost model, scaled to 2 MiB faulted in by the GPU. */
export interface ModelledTime {
  /** DMA mapping and unmapping only: the part in which the schemes differ. */
  readonly dmaUs: number;
  /** The whole fault. */
  readonly faultUs: number;
}

/** What one scheme did on one memory. */
export interface StrategyResult {
  readonly strategy: MapStrategyName;
  readonly gpuFaults: number;
  /** Pages that GPU faults made accessible, holes that were filled included. */
  readonly pagesFaultedIn: number;
  /** Pages mapped for DMA, summed over all mapping calls, there and back. */
  readonly dmaMappedPages: number;
  /** dma_iova_link calls, or dma_map_page calls of the classic path. */
  readonly linkCalls: number;
  readonly mapPageCalls: number;
  readonly walks: number;
  readonly pteWrites: number;
  readonly tablesAllocated: number;
  readonly tablesFreed: number;
  /** Most empty tables that stayed linked at one time. */
  readonly tablesPinned: number;
  readonly iotlbInvalidations: number;
  readonly iovaOperations: number;
  readonly bouncedPages: number;
  readonly time: ModelledTime;
  /** Kernel warnings (WARN_ON). */
  readonly warnings: number;
  /** IO page-table entries that were left when the device was torn down. */
  readonly leakedEntries: number;
  /** Everything left when the machine should have been empty. */
  readonly left: readonly LiveItem[];
  /** Null when nothing translates, so that the device reaches all of memory. */
  readonly exposedPages: number | null;
  readonly data: DataCheck;
}

/** What was compared, and the outcome. */
export interface Comparison {
  readonly options: CompareOptions;
  readonly memory: MemorySummary;
  readonly results: readonly StrategyResult[];
  readonly answer: string;
}

/** The captured memory in numbers. */
export interface MemorySummary {
  readonly name: string;
  readonly physical: 'captured' | 'modelled';
  readonly pages: number;
  readonly vmas: number;
  readonly runs: number;
  readonly holes: number;
  /** Pages by folio order. */
  readonly orders: readonly number[];
  /** Pages that take no part, by reason. */
  readonly skipped: readonly { readonly reason: string; readonly pages: number }[];
}
