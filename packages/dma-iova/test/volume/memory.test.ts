import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { type PhysicalMemory, TagMemory } from '../../src/index.ts';
import { must, Random } from '../support/random.ts';

const PAGES = 4096;

/** Blocks of every order, returned whole or in parts, against a byte a page; the lowest block that fits is taken. */
function run(memory: PhysicalMemory, seed: number, steps: number): void {
  const random = new Random(seed);
  const used = new Uint8Array(PAGES);
  used[0] = 1;
  const held: { pfn: number; order: number }[] = [];
  for (let step = 0; step < steps; step++) {
    const what = (): string => `seed ${seed}, step ${step}`;
    const grow = (Math.floor(step / 1500) & 1) === 0;
    if (held.length > 0 && random.below(100) < (grow ? 40 : 60)) {
      const i = random.below(held.length);
      const { pfn, order } = held[i]!;
      held[i] = held[held.length - 1]!;
      held.pop();
      const part = random.below(3) === 0 ? random.below(order + 1) : order;
      for (let at = pfn; at < pfn + 2 ** order; at += 2 ** part) memory.freePagesBlock(at, part);
      used.fill(0, pfn, pfn + 2 ** order);
      continue;
    }
    const order = random.below(random.below(4) === 0 ? 11 : 4);
    const size = 2 ** order;
    if (random.below(10) === 0) {
      const pfn = random.below(PAGES / size) * size;
      if (pfn === 0) continue;
      const busy = used.indexOf(1, pfn);
      const isFree = busy < 0 || busy >= pfn + size;
      must(
        memory.claimPages(pfn, order) ? 1 : 0,
        isFree ? 1 : 0,
        () => `${what()}: claim of ${pfn}, order ${order}`,
      );
      if (!isFree) continue;
      used.fill(1, pfn, pfn + size);
      held.push({ pfn, order });
      continue;
    }
    const pfn = memory.allocPages(order);
    if (pfn < 0) {
      for (let at = size; at < PAGES; at += size) {
        const busy = used.indexOf(1, at);
        if (busy < 0 || busy >= at + size)
          throw new Error(`${what()}: order ${order} fits at ${at} and was refused`);
      }
      continue;
    }
    must(pfn % size, 0, () => `${what()}: alignment of order ${order} at ${pfn}`);
    const busy = used.indexOf(1, pfn);
    if (busy >= 0 && busy < pfn + size) throw new Error(`${what()}: page ${busy} was handed out twice`);
    must(memory.readTag(pfn), 0, () => `${what()}: tag of a fresh page`);
    memory.writeTag(pfn, step + 1);
    used.fill(1, pfn, pfn + size);
    held.push({ pfn, order });
  }
  let taken = 0;
  for (const page of used) taken += page;
  must(memory.freePages, PAGES - taken, () => `seed ${seed}: free pages`);
  for (const { pfn, order } of held) memory.freePagesBlock(pfn, order);
  must(memory.allocPages(10), 1024, () => `seed ${seed}: the lowest largest block at the end`);
}

describe('physical memory against a byte a page', () => {
  it('800,000 allocations, claims and frees over 20 seeds are aligned, disjoint, fresh and complete', () => {
    for (let seed = 0; seed < 20; seed++) run(new TagMemory(new Machine(), { pages: PAGES }), seed, 40_000);
    expect(20 * 40_000).toBe(800_000);
  });
});
