import { EINVAL, ENOMEM, Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { xeCounters } from '../src/counters.ts';
import { PtPool } from '../src/pt.ts';
import { XE_PAGE_RW, XE_PPGTT_PTE_DM } from '../src/pt-encoding.ts';
import type { LeafFormat } from '../src/pt-fill.ts';
import { PtBindStage } from '../src/pt-stage.ts';
import { ptUnbindRange } from '../src/pt-unbind.ts';
import { PtWalker, ptZapRange } from '../src/pt-walk.ts';
import { ResCursor } from '../src/res-cursor.ts';

const FORMAT: LeafFormat = {
  patIndex: 0,
  vramFlags: XE_PAGE_RW | XE_PPGTT_PTE_DM,
  systemFlags: XE_PAGE_RW,
  compact64k: true,
  needs64k: false,
};

interface Bench {
  readonly machine: Machine;
  readonly pool: PtPool;
  readonly stage: PtBindStage;
  readonly walker: PtWalker;
  readonly root: number;
}

function bench(): Bench {
  const machine = new Machine();
  const pool = new PtPool(machine, xeCounters(machine));
  return {
    machine,
    pool,
    stage: new PtBindStage(pool),
    walker: new PtWalker(pool),
    root: pool.alloc(3, false),
  };
}

type Segment = readonly [frame: number, pages: number];

/** Entries of order 0 from segments of consecutive frames. */
function cursorOf(segments: readonly Segment[], proto = 0): ResCursor {
  const frames = segments.flatMap(([frame, pages]) => Array.from({ length: pages }, (_, k) => frame + k));
  const addr = Float64Array.from(frames, (frame) => frame * 4096);
  return new ResCursor(
    { addr, order: new Uint8Array(frames.length), proto: new Uint8Array(frames.length).fill(proto) },
    frames.length,
  );
}

function bind(
  b: Bench,
  start: number,
  segments: readonly Segment[],
  format: LeafFormat = FORMAT,
  proto = 0,
): void {
  const pages = segments.reduce((sum, [, n]) => sum + n, 0);
  expect(b.stage.stage(b.root, start, start + pages, cursorOf(segments, proto), format)).toBe(0);
  b.stage.commit(false);
}

/** `level/span` of the leaf at a page. */
function leafAt(b: Bench, page: number): string {
  return b.walker.walk(b.root, page) ? `${b.walker.level}/${b.walker.leafPages}` : 'none';
}

const BASE = 512 * 77;

test('an aligned contiguous 2M range is one level-1 leaf without a table of its own', () => {
  const b = bench();
  bind(b, BASE, [[512 * 9, 512]]);
  expect(leafAt(b, BASE + 100)).toBe('1/512');
  expect(b.walker.frame).toBe(512 * 9 + 100);
  expect(b.pool.inUse).toBe(3);
});

test('a contiguous 2M range whose address is only 64K aligned uses a compact table', () => {
  const b = bench();
  bind(b, BASE, [[512 * 9 + 16, 512]]);
  expect(leafAt(b, BASE + 33)).toBe('0/16');
  expect(b.walker.frame).toBe(512 * 9 + 16 + 33);
});

test('without compact tables the same range gets 4K entries with the 64K hint', () => {
  const b = bench();
  bind(b, BASE, [[512 * 9 + 16, 512]], { ...FORMAT, compact64k: false });
  expect(leafAt(b, BASE + 33)).toBe('0/16');
  expect(b.walker.frame).toBe(512 * 9 + 16 + 33);
});

test('one page that breaks 64K contiguity forbids the compact table, and only its group loses the hint', () => {
  const b = bench();
  bind(b, BASE, [
    [1024, 16],
    [4096, 7],
    [5000, 1],
    [4104, 8],
    [2048, 480],
  ]);
  expect(leafAt(b, BASE + 3)).toBe('0/16');
  expect(leafAt(b, BASE + 20)).toBe('0/1');
  expect(leafAt(b, BASE + 40)).toBe('0/16');
});

test('contiguous pages at an address that does not line up with the VA get plain 4K entries', () => {
  const b = bench();
  bind(b, BASE, [[1027, 512]]);
  expect(leafAt(b, BASE)).toBe('0/1');
  expect(b.walker.frame).toBe(1027);
});

test('a device that needs 64K refuses device memory in smaller pieces and leaves nothing behind', () => {
  const b = bench();
  const before = b.pool.inUse;
  const format = { ...FORMAT, needs64k: true };
  const cursor = cursorOf([[1024, 8]], 1);
  expect(b.stage.stage(b.root, BASE, BASE + 8, cursor, format)).toBe(-EINVAL);
  expect(b.pool.inUse).toBe(before);
  expect(b.stage.stage(b.root, BASE, BASE + 16, cursorOf([[1024, 16]], 1), format)).toBe(0);
  b.stage.abort();
  expect(b.pool.inUse).toBe(before);
});

test('a staged bind is invisible until it is committed', () => {
  const b = bench();
  expect(b.stage.stage(b.root, BASE, BASE + 16, cursorOf([[1024, 16]]), FORMAT)).toBe(0);
  expect(leafAt(b, BASE)).toBe('none');
  b.stage.commit(false);
  expect(leafAt(b, BASE)).toBe('0/16');
});

test('the k-th missing table fails the bind with -ENOMEM and frees the others, for every k', () => {
  for (const k of [1, 2, 3]) {
    const b = bench();
    b.machine.faultInjection.failNth('xe.pt_create', k);
    expect(b.stage.stage(b.root, BASE, BASE + 512, cursorOf([[1027, 512]]), FORMAT)).toBe(-ENOMEM);
    expect(b.pool.inUse).toBe(1);
    expect(leafAt(b, BASE)).toBe('none');
  }
  const b = bench();
  bind(b, BASE, [[1027, 512]]);
  expect(b.pool.inUse).toBe(4);
});

test('a zap of a whole 2M range zeroes one pointer; binding again replaces the table; unbinding frees all', () => {
  const b = bench();
  bind(b, BASE, [[1027, 512]]);
  expect(b.pool.inUse).toBe(4);
  expect(ptZapRange(b.pool, b.root, 0, BASE, BASE + 512)).toBe(1);
  expect(ptZapRange(b.pool, b.root, 0, BASE, BASE + 512)).toBe(0);
  expect(leafAt(b, BASE + 5)).toBe('none');
  expect(b.pool.inUse).toBe(4);
  expect(b.stage.stage(b.root, BASE, BASE + 512, cursorOf([[512 * 9, 512]]), FORMAT)).toBe(0);
  b.stage.commit(true);
  expect(leafAt(b, BASE + 5)).toBe('1/512');
  expect(b.pool.inUse).toBe(3);
  expect(ptUnbindRange(b.pool, b.root, 0, BASE, BASE + 512)).toBe(1);
  expect(b.pool.inUse).toBe(1);
});

test('a read-only leaf is a missing page for a write', () => {
  const b = bench();
  bind(b, BASE, [[1024, 16]], { ...FORMAT, systemFlags: 0 });
  expect(b.walker.firstMissing(b.root, BASE, BASE + 16, false)).toBe(BASE + 16);
  expect(b.walker.firstMissing(b.root, BASE, BASE + 16, true)).toBe(BASE);
});

test('random binds, zaps and unbinds of ranges agree with a page map, and tables never outlive their ranges', () => {
  const op = fc.record({
    kind: fc.constantFrom('bind', 'bind', 'zap', 'unbind'),
    region: fc.integer({ min: 0, max: 3 }),
    slot: fc.integer({ min: 0, max: 31 }),
    size: fc.constantFrom(1, 16, 16, 512),
    frames: fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 6 }),
    compact: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 40 }), (ops) => {
      const b = bench();
      const pages = new Map<number, number>();
      const ranges: Ranges = new Map();
      for (const one of ops) {
        step(b, one, ranges, pages);
        expect(wrongPages(b, pages)).toEqual([]);
        expect(ranges.size > 0 || b.pool.inUse === 1).toBe(true);
      }
      for (const [start, { size }] of ranges) ptUnbindRange(b.pool, b.root, 0, start, start + size);
      expect(b.pool.inUse).toBe(1);
    }),
    { seed: 4, numRuns: 100 },
  );
});

type Ranges = Map<number, { size: number; zapped: boolean }>;

interface Op {
  readonly kind: string;
  readonly region: number;
  readonly slot: number;
  readonly size: number;
  readonly frames: readonly number[];
  readonly compact: boolean;
}

/** Apply one operation to the tables and to the page map. */
function step(b: Bench, op: Op, ranges: Ranges, pages: Map<number, number>): void {
  const { kind, region, slot, size, frames, compact } = op;
  const start = BASE + region * 512 + (size === 512 ? 0 : slot * 16);
  const known = ranges.get(start);
  if (kind === 'bind') {
    const clash = ([s, r]: [number, { size: number }]): boolean =>
      s < start + size && start < s + r.size && !(s === start && r.size === size);
    if ([...ranges].some(clash)) return;
    const segments = segmentsOf(frames, size);
    const err = b.stage.stage(b.root, start, start + size, cursorOf(segments), {
      ...FORMAT,
      compact64k: compact,
    });
    if (err !== 0) throw new Error(`stage failed: ${err}`);
    b.stage.commit(known !== undefined);
    ranges.set(start, { size, zapped: false });
    let page = start;
    for (const [frame, n] of segments) for (let k = 0; k < n; k++) pages.set(page++, frame + k);
    return;
  }
  if (known === undefined) return;
  const end = start + known.size;
  for (let page = start; page < end; page++) pages.delete(page);
  const cut = kind === 'zap' ? ptZapRange : ptUnbindRange;
  const present = cut(b.pool, b.root, 0, start, end) > 0;
  if (present === known.zapped) throw new Error(`${kind} of pages at ${start} reports presence ${present}`);
  if (kind === 'zap') known.zapped = true;
  else ranges.delete(start);
}

function wrongPages(b: Bench, pages: Map<number, number>): number[] {
  const wrong: number[] = [];
  for (let page = BASE; page < BASE + 4 * 512; page++) {
    const frame = b.walker.walk(b.root, page) ? b.walker.frame : undefined;
    if (frame !== pages.get(page)) wrong.push(page);
  }
  return wrong;
}

/** Cut a range into as many segments as there are frames, some of them aligned to 64K or 2M. */
function segmentsOf(frames: readonly number[], size: number): Segment[] {
  if (size === 1) return [[frames[0]!, 1]];
  const piece = Math.max(1, Math.floor(size / frames.length / 16)) * 16;
  const segments: Segment[] = [];
  let left = size;
  frames.forEach((frame, i) => {
    const n = i === frames.length - 1 ? left : Math.min(left, piece);
    if (n > 0) segments.push([frame % 3 === 0 ? frame * 512 : frame % 3 === 1 ? frame * 16 : frame, n]);
    left -= n;
  });
  return segments;
}
