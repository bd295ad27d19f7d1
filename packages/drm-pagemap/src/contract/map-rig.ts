import { type DmaDevice, type IommuMode, NO_PFN, type PhysicalMemory } from '@gpusvm/dma-iova';
import { type KernelProfileName, Machine } from '@gpusvm/kernel';
import { MapState } from '../map-strategy/map-state.ts';
import { SystemPages } from '../system-pages.ts';
import type { MapGround } from './map-ground.ts';

/** @internal Slots of an array, by how many pages present and where. */
export interface Pattern {
  readonly npages: number;
  /** Ascending `[slot, order]` of every folio. */
  readonly folios: readonly (readonly [slot: number, order: number])[];
}

/** @internal One machine with one device and one array of tagged folios. */
export class MapRig {
  readonly machine: Machine;
  readonly memory: PhysicalMemory;
  readonly device: DmaDevice;
  readonly pattern: Pattern;
  readonly pages: SystemPages;
  readonly state: MapState = new MapState();
  readonly freePages: number;
  readonly #leave: () => void;

  constructor(ground: MapGround, mode: IommuMode, pattern: Pattern, profile: KernelProfileName) {
    this.machine = new Machine({ profile });
    const { memory, device, leave } = ground.enter(this.machine, mode);
    this.memory = memory;
    this.device = device;
    this.#leave = leave;
    this.freePages = this.memory.freePages;
    this.pattern = pattern;
    this.pages = new SystemPages(pattern.npages);
    // From the last folio to the first, with gaps, so that neighbours in the array are none in memory.
    for (const [slot, order] of [...pattern.folios].reverse()) {
      const pfn = this.memory.allocPages(order);
      if (pfn === NO_PFN) throw new Error('the contract ran out of memory');
      for (let k = 0; k < 2 ** order; k++) this.memory.writeTag(pfn + k, tagOf(slot + k));
      this.#pfns.unshift([slot, pfn, order]);
    }
    for (const [slot, pfn, order] of this.#pfns) this.pages.push(slot, pfn, order);
  }

  readonly #pfns: [slot: number, pfn: number, order: number][] = [];

  /** Pages that are present. */
  get presentPages(): number {
    return this.#pfns.reduce((sum, [, , order]) => sum + 2 ** order, 0);
  }

  /** Slot behind the first `entries` entries' first hole, and how many of their pages lie behind it. */
  pagesBehindFirstHole(entries: number): number {
    let next = 0;
    let behind = 0;
    let hole = false;
    for (const [slot, , order] of this.#pfns.slice(0, entries)) {
      if (slot !== next) hole = true;
      if (hole) behind += 2 ** order;
      next = slot + 2 ** order;
    }
    return behind;
  }

  /** Pages that translate now; 0 without an IOMMU. */
  get mappedPages(): number {
    return this.device.domain?.mappedPages ?? 0;
  }

  /** Call for every present page: slot, its pfn, and the DMA address the strategy gave it. */
  forEachPage(fn: (slot: number, pfn: number, addrBytes: number) => void): void {
    this.#pfns.forEach(([slot, pfn, order], j) => {
      for (let k = 0; k < 2 ** order; k++) fn(slot + k, pfn + k, this.pages.addr[j]! + k * 4096);
    });
  }

  /** Free the folios, destroy the device, leave the ground. */
  tearDown(): void {
    for (const [, pfn, order] of this.#pfns) this.memory.freePagesBlock(pfn, order);
    this.device.destroy();
    this.#leave();
  }
}

/** @internal Content of the page at a slot. */
export function tagOf(slot: number): number {
  return 1000 + slot;
}

/** @internal Deterministic patterns: the shapes that broke real code, then random ones. */
export function patterns(largest: number): Pattern[] {
  const shapes: Pattern[] = [
    { npages: 1, folios: [[0, 0]] },
    {
      npages: 4,
      folios: [
        [0, 0],
        [3, 0],
      ],
    },
    { npages: 8, folios: [[5, 0]] },
    {
      npages: 16,
      folios: [
        [0, 2],
        [8, 3],
      ],
    },
    { npages: 512, folios: Array.from({ length: 512 }, (_, slot): [number, number] => [slot, 0]) },
    { npages: 512, folios: Array.from({ length: 256 }, (_, i): [number, number] => [2 * i, 0]) },
  ];
  if (largest >= 9) {
    shapes.push(
      { npages: 512, folios: [[0, 9]] },
      {
        npages: 1024,
        folios: [
          [3, 0],
          [512, 9],
        ],
      },
    );
  }
  const random = new Machine({ seed: 7 });
  for (let n = 0; n < 8; n++)
    shapes.push(randomPattern(random, 64 << random.choose(4), Math.min(largest, 5)));
  return shapes;
}

/** Naturally aligned folios up to an order, with holes of random length between. */
function randomPattern(machine: Machine, npages: number, largest: number): Pattern {
  const folios: [number, number][] = [];
  let slot = machine.choose(3) === 0 ? machine.choose(9) : 0;
  while (slot < npages) {
    let order = machine.choose(3) === 0 ? machine.choose(largest + 1) : 0;
    while ((slot & ((1 << order) - 1)) !== 0 || slot + (1 << order) > npages) order--;
    folios.push([slot, order]);
    slot += 1 << order;
    if (machine.choose(4) === 0) slot += 1 + machine.choose(12);
  }
  return { npages, folios };
}
