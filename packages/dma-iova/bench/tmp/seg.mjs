import { Machine } from '@gpusvm/kernel';
import { iovaAllocator } from '@gpusvm/dma-iova';
const a = iovaAllocator('segment-tree', new Machine());
const pages = Number(process.env.P ?? 1),
  live = Number(process.env.L ?? 1000);
const held = Array.from({ length: live }, () => a.alloc(pages, 2 ** 36 - 1, true, 0));
let x = 12345;
const n = Number(process.argv[2]) * 1000;
// random replacement of held reservations
for (let i = 0; i < 20000 + n; i++) {
  x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
  const k = x % live;
  a.free(held[k], pages, 0);
  x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
  held[k] = a.alloc(pages, 2 ** 36 - 1, true, 0);
}
