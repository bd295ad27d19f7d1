import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  type DmaDataDirection,
  type IommuMode,
} from '@gpusvm/dma-iova';
import type { KernelProfileName } from '@gpusvm/kernel';
import type { MapStrategy } from '../map-strategy/strategy.ts';
import { type MapGround, SIMULATED } from './map-ground.ts';
import { MapRig, type Pattern, patterns, tagOf } from './map-rig.ts';

/** One case of a contract suite; any test runner will do. */
export interface ContractCase {
  readonly name: string;
  /** @throws Error that says what does not hold. */
  readonly run: () => void;
}

/** What a suite has to know about a strategy. */
export interface MapStrategyTraits {
  /** Its unmap stops at the first hole of the IO page table: what lies behind must leak, exactly that. */
  readonly leaksBehindHoles?: boolean;
  /** It shows a page under slots that have none; everybody else must not. */
  readonly fillsHoles?: boolean;
}

const DIRECTIONS: readonly DmaDataDirection[] = [DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL];

/** Bounce buffers hold at most 256 KiB in one piece. */
function patternsFor({ mostSlots }: MapGround, mode: IommuMode): Pattern[] {
  return patterns(mode === 'swiotlb' ? 5 : 9).filter(({ npages }) => npages <= mostSlots);
}

/**
 * What every mapping strategy must keep, in every IOMMU mode of the ground, over hole patterns, folio orders and
 * directions, and with a failure at every single allocation: the device sees under each returned address the right page,
 * nothing else becomes visible, and after the unmap nothing is left.
 */
export function mapStrategyContract(
  strategy: MapStrategy,
  traits: MapStrategyTraits = {},
  ground: MapGround = SIMULATED,
): ContractCase[] {
  const under: Under = { strategy, traits, ground };
  const cases: ContractCase[] = [];
  for (const mode of ground.modes) {
    for (const profile of ground.profiles) {
      cases.push({
        name: `${strategy.name} maps every page for the device and leaves nothing (${mode}, ${profile})`,
        run: () => {
          for (const pattern of patternsFor(ground, mode)) {
            for (const dir of DIRECTIONS) mapAndUnmap(under, mode, pattern, dir, profile);
          }
        },
      });
      cases.push({
        name: `${strategy.name} undoes a map that failed at any point (${mode}, ${profile})`,
        run: () => {
          for (const pattern of patternsFor(ground, mode).filter((p) => p.folios.length <= 40)) {
            failEverywhere(under, mode, pattern, profile);
          }
        },
      });
    }
    cases.push({
      name: `${strategy.name} maps page by page where the IOVA path is not allowed (${mode})`,
      run: () => {
        for (const pattern of patternsFor(ground, mode)) withoutIova(under, mode, pattern);
      },
    });
    cases.push({
      name: `${strategy.name} does nothing for an array without pages (${mode})`,
      run: () => withoutPages(under, mode),
    });
  }
  return cases;
}

/** What is tested, and where. */
interface Under {
  readonly strategy: MapStrategy;
  readonly traits: MapStrategyTraits;
  readonly ground: MapGround;
}

function expect(holds: boolean, what: string, rig: MapRig): void {
  if (holds) return;
  const { npages, folios } = rig.pattern;
  const shown = folios.slice(0, 20).map(([slot, order]) => `${slot}:${order}`);
  throw new Error(`${what} (${rig.device.mode}, ${npages} slots, slot:order ${shown.join(' ')})`);
}

function mapAndUnmap(
  under: Under,
  mode: IommuMode,
  pattern: Pattern,
  dir: DmaDataDirection,
  profile: KernelProfileName,
): void {
  const { strategy, traits, ground } = under;
  const rig = new MapRig(ground, mode, pattern, profile);
  const err = strategy.map(rig.device, rig.state, rig.pages, pattern.npages, dir, true);
  expect(err === 0, `map returns ${err}`, rig);
  checkAccess(rig, traits, dir);
  strategy.unmap(rig.device, rig.state, rig.pages, dir);
  checkWritten(rig, dir);
  checkGone(rig, under, rig.pages.count);
}

/** The device reaches each page, and only as the direction allows; it sees no more than was asked for. */
function checkAccess(rig: MapRig, traits: MapStrategyTraits, dir: DmaDataDirection): void {
  const seen = new Set<number>();
  rig.forEachPage((slot, _pfn, addr) => {
    expect(!seen.has(addr), `two pages have address ${addr}`, rig);
    seen.add(addr);
    if (dir !== DMA_FROM_DEVICE) {
      const tag = rig.device.readTag(addr);
      expect(tag === tagOf(slot), `slot ${slot} reads ${tag}`, rig);
    }
    if (dir !== DMA_TO_DEVICE)
      expect(rig.device.writeTag(addr, tagOf(slot) + 1e6), `slot ${slot} is read-only`, rig);
  });
  const holes = rig.state.usesIova ? rig.pattern.npages - rig.presentPages : 0;
  const filled = traits.fillsHoles === true ? holes : 0;
  expect(rig.state.filledSlots === filled, `${rig.state.filledSlots} slots are filled, not ${filled}`, rig);
  if (rig.device.domain !== null) {
    const visible = rig.presentPages + filled;
    expect(rig.mappedPages === visible, `the device sees ${rig.mappedPages} pages, not ${visible}`, rig);
  }
}

/** What the device wrote has arrived by the end of unmap; memory it may only read is unchanged. */
function checkWritten(rig: MapRig, dir: DmaDataDirection): void {
  rig.forEachPage((slot, pfn) => {
    const wanted = dir === DMA_TO_DEVICE ? tagOf(slot) : tagOf(slot) + 1e6;
    expect(rig.memory.readTag(pfn) === wanted, `page of slot ${slot} holds ${rig.memory.readTag(pfn)}`, rig);
  });
}

/** @param entries - how many entries had been mapped. */
function checkGone(rig: MapRig, { strategy, traits, ground }: Under, entries: number): void {
  const { state, machine } = rig;
  expect(!state.active && state.mapped === 0 && state.offsetBytes === 0, 'the state is not reset', rig);
  const stops = traits.leaksBehindHoles === true && rig.device.domain !== null;
  const behind = stops ? rig.pagesBehindFirstHole(entries) : 0;
  const leaked = ground.stepsOverHoles ? 0 : behind;
  expect(rig.mappedPages === leaked, `${rig.mappedPages} pages stay mapped, not ${leaked}`, rig);
  if (behind > 0) expect(machine.warnings > 0, 'the kernel does not warn about the short unmap', rig);
  else if (!stops) expect(machine.warnings === 0, 'the kernel warns', rig);
  rig.tearDown();
  machine.drain();
  const left = machine.ledger.live();
  if (leaked === 0) {
    expect(left.length === 0, `left: ${left.map((item) => `${item.kind} ${item.count}`).join(', ')}`, rig);
  } else {
    const pages = left.find((item) => item.kind === 'io page table leaf')?.count ?? 0;
    expect(pages > 0, `the ledger does not report what ${strategy.name} leaked`, rig);
  }
  expect(rig.memory.freePages >= rig.freePages, 'memory is missing', rig);
}

/** Fail the k-th of all fallible steps of map, for every k. */
function failEverywhere(under: Under, mode: IommuMode, pattern: Pattern, profile: KernelProfileName): void {
  const { strategy, traits, ground } = under;
  for (let k = 1; ; k++) {
    const rig = new MapRig(ground, mode, pattern, profile);
    rig.machine.faultInjection.failAnyNth(k);
    const err = strategy.map(rig.device, rig.state, rig.pages, pattern.npages, DMA_BIDIRECTIONAL, true);
    const fired = rig.machine.faultInjection.anyNth === 0;
    rig.machine.faultInjection.reset();
    if (err === 0) checkAccess(rig, rig.state.usesIova ? traits : {}, DMA_BIDIRECTIONAL);
    const entries = rig.state.usesIova ? rig.state.mapped : 0;
    strategy.unmap(rig.device, rig.state, rig.pages, DMA_BIDIRECTIONAL);
    if (err === 0) checkWritten(rig, DMA_BIDIRECTIONAL);
    checkGone(rig, under, entries);
    if (!fired) return;
  }
}

function withoutIova({ strategy, ground }: Under, mode: IommuMode, pattern: Pattern): void {
  const rig = new MapRig(ground, mode, pattern, 'linux-7.3');
  const err = strategy.map(rig.device, rig.state, rig.pages, pattern.npages, DMA_BIDIRECTIONAL, false);
  expect(err === 0 && !rig.state.usesIova, `map returns ${err} or reserves`, rig);
  checkAccess(rig, {}, DMA_BIDIRECTIONAL);
  strategy.unmap(rig.device, rig.state, rig.pages, DMA_BIDIRECTIONAL);
  checkWritten(rig, DMA_BIDIRECTIONAL);
  checkGone(rig, { strategy, traits: {}, ground }, 0);
}

function withoutPages({ strategy, ground }: Under, mode: IommuMode): void {
  const rig = new MapRig(ground, mode, { npages: 512, folios: [] }, 'linux-7.3');
  const err = strategy.map(rig.device, rig.state, rig.pages, 512, DMA_TO_DEVICE, true);
  expect(err === 0 && !rig.state.active, `map returns ${err} or holds something`, rig);
  expect(rig.machine.counters.snapshot().get('dma.iovaAlloc') === 0, 'IOVA was reserved for nothing', rig);
  strategy.unmap(rig.device, rig.state, rig.pages, DMA_TO_DEVICE);
  checkGone(rig, { strategy, traits: {}, ground }, 0);
}
