// How instructions and memory of one comparison grow with captured pages, on a synthetic process: half of its pages
// written, in runs of 1 to 7 pages. Run after a build: node bench/growth.mjs [PAGES]
// Instruction counts: the same command under `valgrind --tool=cachegrind --cache-sim=no`, twice, and the slope.
import { compare } from '../dist/index.js';

const pages = Number(process.argv[2] ?? 20_000);

/** A process with one mapping of twice as many pages as are populated. */
function synthetic() {
  const startPage = [];
  const pageCount = [];
  const pfn = [];
  let page = 512;
  let frame = 1 << 20;
  let left = pages;
  for (let i = 0; left > 0; i++) {
    const n = Math.min(left, 1 + (i % 7));
    startPage.push(page);
    pageCount.push(n);
    pfn.push(frame);
    page += 2 * n;
    frame += n + 3;
    left -= n;
  }
  const prot = { read: true, write: true, exec: false };
  const vma = { startPage: 512, endPage: Math.ceil(page / 512) * 512, prot, shared: false, kind: 'anon' };
  return {
    version: 1,
    physical: 'captured',
    pageSize: 4096,
    info: {},
    vmas: [{ ...vma, hugetlb: false, io: false }],
    runs: {
      startPage: Float64Array.from(startPage),
      pageCount: Uint32Array.from(pageCount),
      pfn: Float64Array.from(pfn),
      order: new Uint8Array(startPage.length),
      flags: new Uint8Array(startPage.length).fill(2),
    },
  };
}

const before = process.memoryUsage();
const capture = synthetic();
const options = { strategies: ['iova-packed'], iommu: 'strict', fault: '2M', kernel: 'linux-7.3', seed: 1 };
const { results } = compare('synthetic', capture, options);
const after = process.memoryUsage();
const peak = after.rss - before.rss;
console.log(
  `${pages} captured pages: ${results[0].dmaMappedPages + results[0].pagesFaultedIn} page-mappings, ${(peak / 2 ** 20).toFixed(0)} MiB more resident, ${(peak / pages).toFixed(0)} bytes a captured page`,
);
