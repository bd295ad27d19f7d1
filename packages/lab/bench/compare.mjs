// Page-mappings a second that the comparison simulates, and how time and memory grow with captured pages.
// Run after a build: node bench/compare.mjs
import { performance } from 'node:perf_hooks';
import { MAP_STRATEGIES } from '@gpusvm/drm-pagemap';
import { compare, loadCapture, shippedCaptures } from '../dist/index.js';

const ROUNDS = 3;

/** A page is mapped for DMA and bound on the GPU; every map call and GPU bind of a page is one page-mapping. */
function pageMappings(result) {
  return result.dmaMappedPages + result.pagesFaultedIn;
}

// The first rounds would measure the compiler.
const [warm] = shippedCaptures();
for (const strategy of MAP_STRATEGIES) {
  compare(warm.name, loadCapture(warm.file), {
    strategies: [strategy],
    iommu: 'strict',
    fault: '2M',
    kernel: 'linux-7.3',
    seed: 1,
  });
}

const totals = new Map();
for (const { name, file } of shippedCaptures()) {
  const capture = loadCapture(file);
  for (const strategy of MAP_STRATEGIES) {
    if (strategy === 'iova-holes-one-destroy') continue;
    const options = { strategies: [strategy], iommu: 'strict', fault: '2M', kernel: 'linux-7.3', seed: 1 };
    let best = Number.POSITIVE_INFINITY;
    let mappings = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      const { results } = compare(name, capture, options);
      best = Math.min(best, performance.now() - start);
      mappings = pageMappings(results[0]);
    }
    const total = totals.get(strategy) ?? { mappings: 0, ms: 0 };
    totals.set(strategy, { mappings: total.mappings + mappings, ms: total.ms + best });
    const perSecond = mappings / (best / 1000) / 1e6;
    console.log(
      `${name.padEnd(12)} ${strategy.padEnd(20)} ${String(mappings).padStart(8)} page-mappings ${best.toFixed(0).padStart(6)} ms ${perSecond.toFixed(2)} million/s`,
    );
  }
}
for (const [strategy, { mappings, ms }] of totals) {
  console.log(
    `all captures ${strategy.padEnd(20)} ${(mappings / ms / 1000).toFixed(2)} million page-mappings/s`,
  );
}
