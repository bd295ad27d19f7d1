import { Machine } from '@gpusvm/kernel';
import {
  DMA_BIDIRECTIONAL,
  DmaDevice,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  TagMemory,
} from '@gpusvm/dma-iova';
const machine = new Machine();
const memory = new TagMemory(machine, { pages: 1 << 17 });
const strict = new DmaDevice(machine, memory, { name: 'strict', iommu: 'strict' });
const scattered = Float64Array.from({ length: 512 }, (_, i) => 1024 + ((i * 7919) % 65536));
const state = new DmaIovaState();
dmaIovaTryAlloc(strict, state, 0, 512 * 4096);
function linkAll(dev, s) {
  for (let i = 0; i < 512; i++)
    dmaIovaLink(dev, s, scattered[i] * 4096, i * 4096, 4096, DMA_BIDIRECTIONAL, 0);
}
const n = Number(process.argv[2]);
const time = process.argv[3] === 't';
for (let i = 0; i < 2000; i++) {
  linkAll(strict, state);
  dmaIovaUnlink(strict, state, 0, 512 * 4096, 0, 0);
}
if (!time)
  for (let i = 0; i < n; i++) {
    linkAll(strict, state);
    dmaIovaUnlink(strict, state, 0, 512 * 4096, 0, 0);
  }
else {
  const a = [],
    b = [];
  for (let i = 0; i < n; i++) {
    const t0 = process.hrtime();
    linkAll(strict, state);
    const d0 = process.hrtime(t0);
    const t1 = process.hrtime();
    dmaIovaUnlink(strict, state, 0, 512 * 4096, 0, 0);
    const d1 = process.hrtime(t1);
    a.push(d0[1]);
    b.push(d1[1]);
  }
  a.sort((x, y) => x - y);
  b.sort((x, y) => x - y);
  console.log(
    'links us',
    (a[(n / 10) | 0] / 1000).toFixed(2),
    'unlink us',
    (b[(n / 10) | 0] / 1000).toFixed(2),
  );
}
