import { NO_PFN } from '@gpusvm/dma-iova';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { forEachCopyRun } from '../src/svm-copy.ts';

interface Slots {
  readonly pages: Float64Array;
  readonly addr: Float64Array;
  readonly order: Uint8Array;
}

function runs(slots: Slots, npages: number): number[][] {
  const out: number[][] = [];
  const addrs = { ...slots, proto: new Uint8Array(npages) };
  expect(
    forEachCopyRun(
      slots.pages,
      addrs,
      npages,
      (pfn) => pfn + 1_000_000,
      (first, pages, frame) => {
        out.push([first, pages, frame]);
        return 0;
      },
    ),
  ).toBe(0);
  return out;
}

type Piece = {
  readonly order: number;
  readonly kind: 'page' | 'no page' | 'no address';
  readonly gap: number;
};

/** Build the sparse arrays, and the list of pages that must be copied with their place. */
function build(pieces: readonly Piece[]): { slots: Slots; npages: number; wanted: number[][] } {
  const npages = pieces.reduce((sum, { order, kind }) => sum + (kind === 'page' ? 2 ** order : 1), 0);
  const slots = {
    pages: new Float64Array(npages).fill(NO_PFN),
    addr: new Float64Array(npages),
    order: new Uint8Array(npages),
  };
  const wanted: number[][] = [];
  let slot = 0;
  let pfn = 512;
  for (const { order, kind, gap } of pieces) {
    pfn += gap;
    if (kind !== 'no page') slots.pages[slot] = pfn;
    if (kind !== 'no address') slots.addr[slot] = 4096 * (slot + 1);
    if (kind !== 'page') {
      slot++;
      continue;
    }
    slots.order[slot] = order;
    for (let k = 0; k < 2 ** order; k++) wanted.push([slot + k, pfn + k + 1_000_000]);
    slot += 2 ** order;
    pfn += 2 ** order;
  }
  return { slots, npages, wanted };
}

test('runs cover every page once at its place, touch no hole, stay below 8 MiB and are as long as they can be', () => {
  const piece = fc.record({
    order: fc.constantFrom(0, 0, 1, 4, 9),
    kind: fc.constantFrom<Piece['kind']>('page', 'page', 'page', 'no page', 'no address'),
    gap: fc.constantFrom(0, 0, 0, 3),
  });
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 24 }), (pieces) => {
      const { slots, npages, wanted } = build(pieces);
      const found = runs(slots, npages);
      const copied = found.flatMap(([first, pages, frame]) =>
        Array.from({ length: pages! }, (_, k) => [first! + k, frame! + k]),
      );
      expect(copied).toEqual(wanted);
      for (const [, pages] of found) expect(pages).toBeLessThanOrEqual(2048);
      for (let i = 1; i < found.length; i++) {
        const [first, pages, frame] = found[i - 1]!;
        const joins = found[i]![0] === first! + pages! && found[i]![2] === frame! + pages!;
        expect(!joins || pages! + 512 > 2048).toBe(true);
      }
    }),
    { seed: 5, numRuns: 200 },
  );
});

test('16 MiB of order 9 are two jobs of 8 MiB (quirk Qg)', () => {
  const { slots, npages } = build(
    Array.from({ length: 8 }, () => ({ order: 9, kind: 'page' as const, gap: 0 })),
  );
  expect(runs(slots, npages).map(([, pages]) => pages)).toEqual([2048, 2048]);
});

test('the error of a run ends the walk', () => {
  const { slots, npages } = build([
    { order: 0, kind: 'page', gap: 0 },
    { order: 0, kind: 'page', gap: 3 },
  ]);
  let calls = 0;
  const addrs = { ...slots, proto: new Uint8Array(npages) };
  const err = forEachCopyRun(
    slots.pages,
    addrs,
    npages,
    (pfn) => pfn,
    () => {
      calls++;
      return -5;
    },
  );
  expect([err, calls]).toEqual([-5, 1]);
});
