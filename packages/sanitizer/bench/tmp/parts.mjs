import { Machine } from '@gpusvm/kernel';
import { DmaDevice, dmaIovaDestroy, dmaIovaLink, DmaIovaState, dmaIovaSync, dmaIovaTryAlloc, TagMemory } from '@gpusvm/dma-iova';
import { attachSanitizer } from '@gpusvm/sanitizer';
const machine = new Machine();
const memory = new TagMemory(machine, { pages: 1 << 17 });
const strict = new DmaDevice(machine, memory, { name: 'strict', iommu: 'strict' });
const scattered = Float64Array.from({ length: 512 }, (_, i) => { return memory.allocPages(0); });
for (let i = 511; i > 0; i--) { const j = (i * 7919) % (i + 1); const t = scattered[i]; scattered[i] = scattered[j]; scattered[j] = t; }
if (process.argv[3] !== 'off') attachSanitizer(machine, { mode: 'count', devices: [strict] });
const state = new DmaIovaState();
function linkAll(dev, s) { for (let i = 0; i < 512; i++) dmaIovaLink(dev, s, scattered[i] * 4096, i * 4096, 4096, 0, 0); }
const n = Number(process.argv[2]);
const a = [], b = [], c = [];
for (let i = 0; i < n; i++) {
  const t = process.hrtime(); dmaIovaTryAlloc(strict, state, 0, 512 * 4096); const d = process.hrtime(t);
  const t0 = process.hrtime(); linkAll(strict, state); const d0 = process.hrtime(t0);
  const t1 = process.hrtime(); dmaIovaSync(strict, state, 0, 512 * 4096); dmaIovaDestroy(strict, state, 512 * 4096, 0, 0); const d1 = process.hrtime(t1);
  a.push(d0[1]); b.push(d1[1]); c.push(d[1]);
}
for (const [name, x] of [['alloc', c], ['links', a], ['sync+destroy', b]]) { x.sort((p, q) => p - q); console.log(name, (x[n / 10 | 0] / 512).toFixed(1), 'ns/page'); }
