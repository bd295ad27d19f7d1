// Times and their ratios: node bench/dma-iova.mjs [seconds per group] [part of a title]. Build first.
import { Machine } from '@gpusvm/kernel';
import { DmaDevice, TagMemory } from '@gpusvm/dma-iova';
import { runRatios } from '@gpusvm/bench';
import groups from './scenarios.mjs';

runRatios(import.meta.resolve('./scenarios.mjs'), groups, {
  seconds: Number(process.argv[2] ?? 1),
  filter: process.argv[3] ?? '',
});

function tableMegabytes(pages, step, shift) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 64 });
  const { domain } = new DmaDevice(machine, memory, { name: 'big', iommu: 'strict' });
  for (let at = 0; at < pages; at += step) domain.mapRange(2 ** 30 + at, 2 ** 30 + at + shift, step, 3);
  return `${(domain.tableBytes / 1e6).toFixed(1)} MB`;
}
console.log('\nmemory of the IO page table');
// An odd physical page allows 4K leaves only.
console.log(`  64 GiB as 4K pages: ${tableMegabytes(2 ** 24, 2 ** 18, 1)}`);
console.log(`  1 TiB as 2M leaves: ${tableMegabytes(2 ** 28, 512, 512)}`);
