import { DmaDevice, type IommuMode, NO_PFN, TagMemory } from '@gpusvm/dma-iova';
import type { MapStrategyName } from '@gpusvm/drm-pagemap';
import { FolioTable, Mm } from '@gpusvm/hmm';
import {
  type KernelProfile,
  type KernelProfileName,
  type LiveItem,
  Machine,
  type SchedulerStrategy,
  type Task,
} from '@gpusvm/kernel';
import { expect } from 'vitest';
import { PtWalker, XeDevice, type XeDeviceOptions, XeVm } from '../src/index.ts';

/** First page of every test mapping: 2M aligned, far from 0. */
export const BASE: number = 512 * 4096;

/** A machine with one process, one device and one mirror, and what it takes to prove that it is clean again. */
export interface Rig {
  readonly machine: Machine;
  readonly memory: TagMemory;
  readonly folios: FolioTable;
  readonly device: DmaDevice;
  readonly mm: Mm;
  readonly xe: XeDevice;
  readonly vm: XeVm;
}

export interface RigOptions {
  readonly seed?: number;
  readonly strategy?: SchedulerStrategy;
  readonly profile?: KernelProfileName | KernelProfile;
  readonly iommu?: IommuMode;
  readonly map?: MapStrategyName;
  readonly memoryPages?: number;
  readonly vramPages?: number;
  /** Default 2 MiB, so that whole folios can be bounced; the kernel's is 256 KiB. */
  readonly swiotlbSegmentBytes?: number;
  readonly xe?: Partial<XeDeviceOptions>;
}

export function rig(o: RigOptions = {}): Rig {
  const {
    seed = 1,
    profile = 'linux-7.3',
    iommu = 'strict',
    map = 'iova-packed',
    memoryPages = 16_384,
    vramPages = 8192,
    swiotlbSegmentBytes = 2 ** 21,
  } = o;
  const machine = new Machine({
    seed,
    profile,
    ...(o.strategy === undefined ? {} : { strategy: o.strategy }),
  });
  const memory = new TagMemory(machine, { pages: memoryPages });
  const device = new DmaDevice(machine, memory, { name: 'gpu0', iommu, swiotlbSegmentBytes });
  const folios = new FolioTable(machine, memory);
  const mm = new Mm(machine, folios, { name: 'app' });
  const xe = new XeDevice(machine, { memory, folios, device, vramPages, mapStrategy: map, ...o.xe });
  const vm = machine.run(XeVm.create(xe, mm));
  if (typeof vm === 'number') throw new Error(`no VM: ${vm}`);
  return { machine, memory, folios, device, mm, xe, vm };
}

/** Close everything; what the ledger still lists, which must be nothing. */
export function teardown(r: Rig): LiveItem[] {
  r.machine.faultInjection.reset();
  r.machine.run(
    (function* (): Task<void> {
      yield* r.vm.close();
      if (r.mm.users > 0) yield* r.mm.exit();
      yield* r.xe.destroy();
    })(),
  );
  r.device.destroy();
  return r.machine.ledger.live();
}

/** Fail when two values differ; for places that a test reaches often or under a condition. */
export function mustBe(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: expected ${String(expected)}, got ${String(actual)}`);
}

/** Shapes of memory that a fault meets. */
export type Shape = 'anon' | 'thp' | 'file' | 'sparse' | 'mixed';
export const SHAPES: readonly Shape[] = ['anon', 'thp', 'file', 'sparse', 'mixed'];

/** Tag that the CPU writes into a page before the GPU looks. */
export function cpuTag(page: number): number {
  return 1_000_000 + page - BASE;
}

/** Tag that the GPU writes. */
export function gpuTag(page: number): number {
  return 9_000_000 + page - BASE;
}

/** Map `pages` pages at {@link BASE} of the given shape and let the CPU write them (all, or one in three). */
export function* populate(r: Rig, shape: Shape, pages: number): Task<void> {
  const options = { read: true, write: true, file: shape === 'file', hugepage: shape === 'thp' };
  expect(yield* r.mm.mmap(BASE, pages, options)).toBe(0);
  for (let page = BASE; page < BASE + pages; page++) {
    if (!isPopulated(shape, page)) continue;
    expect(yield* r.mm.cpuWrite(page, cpuTag(page))).toBe(0);
  }
}

/** Whether {@link populate} wrote the page. */
export function isPopulated(shape: Shape, page: number): boolean {
  if (shape === 'sparse') return (page - BASE) % 3 === 0;
  if (shape === 'mixed') return (page - BASE) % 512 < 100 || (page - BASE) % 64 > 40;
  return true;
}

/** What a page must contain before anybody wrote again. */
export function initialTag(shape: Shape, page: number): number {
  return isPopulated(shape, page) ? cpuTag(page) : 0;
}

/**
 * Throw unless every translation that the GPU has, in page table or TLB, leads to the page that the CPU has there now, or
 * to device memory that the CPU's entry names (INV-19, INV-23).
 */
export function noStaleTranslation(r: Rig): void {
  r.xe.tlb.forEach((asid, page, frame, flags) => {
    if (asid === r.vm.asid) checkTranslation(r, page, frame, (flags & 4) !== 0);
  });
  const walker = new PtWalker(r.xe.pt);
  for (const vma of r.vm.vmas.all) {
    for (let page = vma.startPage; page < vma.endPage; page++) {
      if (walker.walk(r.vm.root, page))
        checkTranslation(r, page, walker.frame, (walker.low & (1 << 11)) !== 0);
    }
  }
}

function checkTranslation(r: Rig, page: number, frame: number, vram: boolean): void {
  const pfn = r.mm.pfnAt(page);
  if (pfn === NO_PFN) throw new Error(`stale translation: page ${page - BASE} is not mapped by the CPU`);
  if (vram) {
    mustBe(frame, r.xe.vram.pfnToDpaFrame(pfn), `stale translation of device page ${page - BASE}`);
    return;
  }
  const translated = r.device.domain === null ? frame : r.device.domain.translate(frame);
  // A bounce buffer is not the page itself, by design.
  if (r.device.mode !== 'swiotlb') mustBe(translated, pfn, `stale translation of page ${page - BASE}`);
}
