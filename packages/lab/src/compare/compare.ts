import type { MapStrategyName } from '@gpusvm/drm-pagemap';
import type { Capture } from '../capture/capture.ts';
import { type GroundMaker, simulatedGround } from './ground.ts';
import { summarize } from './memory-summary.ts';
import { participants } from './participants.ts';
import { placeRuns } from './placement.ts';
import type { CompareOptions, Comparison } from './result.ts';
import { runStrategy } from './run-strategy.ts';
import { answer } from './verdict.ts';

/**
 * Which mapping scheme should a driver use on this memory? Runs every scheme on a machine of its own.
 *
 * @param name - what the memory is called in reports.
 * @param capture - the memory layout.
 * @param options - schemes, IOMMU mode, fault size, kernel, seed. Equal input gives an equal result.
 * @param onStrategy - told before each scheme starts.
 * @param ground - what memory and IOMMU are made of; default simulated.
 */
export function compare(
  name: string,
  capture: Capture,
  options: CompareOptions,
  onStrategy: (strategy: MapStrategyName) => void = () => {},
  ground: GroundMaker = simulatedGround,
): Comparison {
  const { strategies, iommu, fault, kernel, seed } = options;
  const taking = participants(capture);
  const placement = placeRuns(capture);
  const results = strategies.map((strategy) => {
    onStrategy(strategy);
    return runStrategy(capture, taking, placement, { strategy, iommu, fault, kernel, seed, ground });
  });
  return {
    options: { strategies: [...strategies], iommu, fault, kernel, seed },
    memory: { ...summarize(name, capture), skipped: taking.skipped },
    results,
    answer: answer(results),
  };
}
