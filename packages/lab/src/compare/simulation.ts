import type { DmaDevice, IommuMode } from '@gpusvm/dma-iova';
import { mapStrategy, type MapStrategyName } from '@gpusvm/drm-pagemap';
import { FolioTable, Mm } from '@gpusvm/hmm';
import { alignDown, alignUp, errnoName, type KernelProfileName, Machine, type Task } from '@gpusvm/kernel';
import { XeDevice, XeVm } from '@gpusvm/xe-driver';
import type { Capture } from '../capture/capture.ts';
import { type Exposure, watchExposure } from './exposure.ts';
import type { GroundMaker } from './ground.ts';
import { loadProcess, ramPagesFor } from './load-process.ts';
import type { Participants } from './participants.ts';
import type { Placement } from './placement.ts';
import type { FaultSize } from './result.ts';

/** Range sizes in pages that the driver may choose, by the size of the faults that the user asked for. */
const CHUNK_PAGES: Readonly<Record<FaultSize, readonly number[]>> = {
  '2M': [512, 16, 1],
  '64K': [16, 1],
  '4K': [1],
};

/**
 * The kernel answers some faults as served although they are not and repeats others without bound (quirks Qd and Qe
 * of the Xe driver). Here a scheme that cannot map ends in an errno instead of a livelock.
 */
const FAIL_FAST = { getPagesErrorIsSuccess: false, boundsFaultLoop: true, faultRounds: 4 };

/** What a simulation is made for. */
export interface SimulationOptions {
  readonly strategy: MapStrategyName;
  readonly iommu: IommuMode;
  readonly fault: FaultSize;
  readonly kernel: KernelProfileName;
  readonly seed: number;
  /** What memory and IOMMU are made of. */
  readonly ground: GroundMaker;
}

/** A machine with a captured process on it and a GPU that mirrors the process. */
export interface Simulation {
  readonly machine: Machine;
  readonly device: DmaDevice;
  readonly mm: Mm;
  readonly xe: XeDevice;
  readonly vm: XeVm;
  readonly participants: Participants;
  readonly exposure: Exposure;
  /** Give memory and IOMMU back, after the device. @returns bytes that were still mapped outside of the model. */
  readonly close: () => number;
}

/** Build the machine, load the process, attach the GPU. */
export function simulate(
  capture: Capture,
  participants: Participants,
  placement: Placement,
  options: SimulationOptions,
): Simulation {
  const machine = new Machine({ seed: options.seed, profile: options.kernel });
  const ranges = coveredPages(participants, CHUNK_PAGES[options.fault][0]!);
  const { memory, device, close } = options.ground(machine, ramPagesFor(placement, ranges), options.iommu);
  const folios = new FolioTable(machine, memory);
  const mm = new Mm(machine, folios, { name: 'captured process' });
  const { strategy, exposure } = watchExposure(mapStrategy(options.strategy));
  const xe = new XeDevice(machine, {
    memory,
    folios,
    device,
    vramPages: vramPagesFor(ranges),
    mapStrategy: strategy,
    chunkPages: CHUNK_PAGES[options.fault],
    behaviour: FAIL_FAST,
  });

  function* setUp(): Task<XeVm> {
    yield* loadProcess(mm, memory, capture, participants, placement);
    const vm = yield* XeVm.create(xe, mm);
    if (typeof vm === 'number') throw new Error(`no GPU address space: ${errnoName(vm)}`);
    for (const vma of participants.vmas) {
      const err = yield* vm.bindMirror(vma.startPage, vma.endPage - vma.startPage, {
        readOnly: !vma.prot.write,
      });
      if (err !== 0) throw new Error(`bind of the mirror at page ${vma.startPage} failed: ${errnoName(err)}`);
    }
    return vm;
  }
  const vm = machine.run(setUp(), 'set up');
  return { machine, device, mm, xe, vm, participants, exposure, close };
}

/**
 * Pages of the aligned pieces of `chunk` pages that hold a participating page, cut to their mapping: what faults can
 * bring in, since a range never leaves its mapping.
 */
function coveredPages({ stretches }: Participants, chunk: number): number {
  let covered = 0;
  let coveredTo = 0;
  for (const { vma, startPage, pages } of stretches) {
    const from = Math.max(alignDown(startPage, chunk), vma.startPage, coveredTo);
    const to = Math.min(alignUp(startPage + pages, chunk), vma.endPage);
    if (to > from) covered += to - from;
    coveredTo = Math.max(coveredTo, to);
  }
  return covered;
}

/** Device memory for everything at once, and one more 2 MiB block for every fifth against fragmentation. */
function vramPagesFor(ranges: number): number {
  return Math.ceil((ranges * 1.2) / 512 + 8) * 512;
}
