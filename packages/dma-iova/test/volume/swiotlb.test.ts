import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { ByteMemory, type DmaDataDirection, Swiotlb } from '../../src/index.ts';
import { must, Random } from '../support/random.ts';

const PAGE = 4096;
const BUFFER = 4096 * PAGE;
const BUFFER_BYTES = 64 * PAGE;

interface Mapping {
  readonly at: number;
  readonly orig: number;
  readonly size: number;
  readonly dir: DmaDataDirection;
  /** The device's mask when it was mapped. */
  readonly keep: number;
  /** What the slots should hold. */
  readonly bytes: Uint8Array;
}

/** Both sides as plain arrays: the buffer, and a copy a mapping. */
function run(seed: number, steps: number): void {
  const random = new Random(seed);
  const machine = new Machine();
  const memory = new ByteMemory(machine, { pages: 8192 });
  memory.claimPages(4096, 6);
  const pool = new Swiotlb(machine, memory, 'dut', 1024, 2 ** 18);
  const buffer = new Uint8Array(BUFFER_BYTES);
  const held: Mapping[] = [];
  const same = (a: Uint8Array, b: Uint8Array, what: () => string): void =>
    must(Buffer.compare(a, b), 0, () => `${what()}: bytes differ`);
  for (let step = 0; step < steps; step++) {
    const what = (): string => `seed ${seed}, step ${step}`;
    const kind = random.below(10);
    if (kind < 4 || held.length === 0) {
      const size = 1 + random.below(random.pick([64, 2048, 5000, 20_000]));
      const from = random.below(BUFFER_BYTES - size);
      const align = random.pick([0, 0, 2047, 4095, 65535]);
      const keep = random.pick([0, 0, 511, 4095]);
      const dir = random.pick([0, 1, 2] as const);
      pool.minAlignMask = keep;
      const at = pool.map(BUFFER + from, size, dir, 0, align);
      if (at < 0) continue;
      must(at & keep, (BUFFER + from) & keep, () => `${what()}: offset kept`);
      must((at - (at & keep)) & align & ~keep, 0, () => `${what()}: alignment of the first slot`);
      for (const other of held) {
        if (at < other.at + other.size && other.at < at + size)
          throw new Error(`${what()}: mappings overlap`);
      }
      const bytes = buffer.slice(from, from + size);
      same(memory.read(at, size), bytes, what);
      held.push({ at, orig: from, size, dir, keep, bytes });
      continue;
    }
    const i = random.below(held.length);
    const m = held[i]!;
    pool.minAlignMask = m.keep;
    const part = random.below(m.size);
    const length = 1 + random.below(m.size - part);
    if (kind < 6) {
      // The device writes a part; the CPU writes elsewhere.
      const value = random.below(256);
      m.bytes.fill(value, part, part + length);
      memory.write(m.at + part, new Uint8Array(length).fill(value));
    } else if (kind < 8) {
      const forCpu = random.below(2) === 0;
      must(pool.sync(m.at + part, length, forCpu) ? 1 : 0, 1, () => `${what()}: sync`);
      if (forCpu) buffer.set(m.bytes.subarray(part, part + length), m.orig + part);
      else m.bytes.set(buffer.subarray(m.orig + part, m.orig + part + length), part);
      same(memory.read(m.at, m.size), m.bytes, what);
      same(memory.read(BUFFER + m.orig, m.size), buffer.subarray(m.orig, m.orig + m.size), what);
    } else {
      must(pool.unmap(m.at, m.size, m.dir, 0) ? 1 : 0, 1, () => `${what()}: unmap`);
      if (m.dir !== 1) buffer.set(m.bytes, m.orig);
      same(memory.read(BUFFER + m.orig, m.size), buffer.subarray(m.orig, m.orig + m.size), what);
      held[i] = held[held.length - 1]!;
      held.pop();
    }
    must(pool.live, held.length, () => `${what()}: live mappings`);
  }
  for (const m of held) {
    pool.minAlignMask = m.keep;
    pool.unmap(m.at, m.size, m.dir, 0);
  }
  pool.destroy();
  must(pool.live, 0, () => `seed ${seed}: live at the end`);
  must(memory.freePages, 8191 - 64, () => `seed ${seed}: free pages at the end`);
}

describe('bounce buffers against plain arrays', () => {
  it('100,000 maps, device writes, syncs and unmaps over 20 seeds move exactly the right bytes', () => {
    for (let seed = 0; seed < 20; seed++) run(seed, 5000);
    expect(20 * 5000).toBe(100_000);
  });
});
