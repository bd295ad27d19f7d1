// What the sanitizer costs in instructions, when it does not listen and when it does. Run under valgrind with two
// numbers of lives and take the slope; see README.md.
//   node bench/off.mjs absent|detached|attached LIVES
import {
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  TagMemory,
} from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';

const [, , how, lives] = process.argv;
const P = 4096;
const machine = new Machine();
const memory = new TagMemory(machine, { pages: 16384 });
const dev = new DmaDevice(machine, memory, { name: 'gpu0', iommu: 'strict' });
if (how !== 'absent') {
  const { attachSanitizer } = await import('@gpusvm/sanitizer');
  const sanitizer = attachSanitizer(machine, { mode: 'report', devices: [dev] });
  if (how === 'detached') sanitizer.detach();
}
const pfns = Array.from({ length: 1024 }, () => memory.allocPages(0)).filter((_, i) => i % 2 === 0);
const state = new DmaIovaState();
for (let n = 0; n < Number(lives); n++) {
  dmaIovaTryAlloc(dev, state, 0, 512 * P);
  for (let i = 0; i < 512; i++) dmaIovaLink(dev, state, pfns[i] * P, i * P, P, 0, 0);
  dmaIovaSync(dev, state, 0, 512 * P);
  dmaIovaDestroy(dev, state, 512 * P, 0, 0);
}
