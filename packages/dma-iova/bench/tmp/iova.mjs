import { Machine } from '@gpusvm/kernel';
import { iovaAllocator } from '@gpusvm/dma-iova';
function pairs(allocator, pages, count) {
  for (let i = 0; i < count; i++) allocator.free(allocator.alloc(pages, 2 ** 36 - 1, true, 0), pages, 0);
}
function time(name, a, pages) {
  const s = [];
  for (let i = 0; i < 20000; i++) {
    const t0 = process.hrtime();
    pairs(a, pages, 100);
    s.push(process.hrtime(t0)[1]);
  }
  s.sort((x, y) => x - y);
  console.log(name, pages, (s[2000] / 100).toFixed(1), 'ns');
}
for (const [name, live] of [
  ['linux-rbtree', 10],
  ['linux-rbtree', 10000],
  ['segment-tree', 10],
  ['segment-tree', 1000],
  ['segment-tree', 1000000],
]) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  const a = iovaAllocator(name, new Machine());
  const held = Array.from({ length: live }, () => a.alloc(33, 2 ** 36 - 1, true, 0));
  for (let i = 0; i < live; i += 2) a.free(held[i], 33, 0);
  for (const pages of name === 'linux-rbtree'
    ? [1, 32, 512]
    : [1, 3, 64, 512, 777, 2048, 4096, 5000, 8192, 12345, 65536, 100001, 262144])
    time(name + ' ' + live, a, pages);
}
