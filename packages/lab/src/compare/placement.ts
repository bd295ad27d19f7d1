import { HPAGE_PMD_NR, roundupPowOfTwo } from '@gpusvm/kernel';
import { type Capture, PageFlag, type PageRuns } from '../capture/capture.ts';

/** Where a captured process's pages go in the simulated RAM. */
export interface Placement {
  /** Simulated pfn of the first page of each run; -1 for runs without a physical page (zero page, swapped). */
  readonly pfn: Float64Array;
  /** Simulated pfn ranges that the process's folios fill, whole folios each, ascending. */
  readonly extents: readonly Extent[];
  /** Pages of RAM that the extents and the gaps between them reach to. */
  readonly endPfn: number;
}

/** Physically contiguous pages of the captured process. */
export interface Extent {
  readonly pfn: number;
  readonly pages: number;
}

interface Piece {
  readonly firstPfn: number;
  readonly endPfn: number;
}

/**
 * Carry the physical layout over: what was contiguous stays contiguous, what was not stays apart, and every
 * extent keeps its alignment up to 2 MiB, because contiguity and alignment are all that a mapping scheme can see
 * of a physical address. Absolute addresses do not survive, so the simulated RAM stays proportional to the
 * captured pages however large the machine was.
 */
export function placeRuns(capture: Capture): Placement {
  const { runs } = capture;
  const count = runs.startPage.length;
  const physical: number[] = [];
  for (let r = 0; r < count; r++) {
    if (hasPhysicalPage(runs.flags[r]!)) physical.push(r);
  }
  physical.sort((a, b) => runs.pfn[a]! - runs.pfn[b]! || a - b);

  const pfn = new Float64Array(count).fill(-1);
  const extents: Extent[] = [];
  let cursor = 1;
  for (const layer of layers(runs, physical)) {
    const pieces = mergePieces(
      layer.map((r) => wholeFolios(runs.pfn[r]!, runs.pageCount[r]!, runs.order[r]!)),
    );
    const firstExtent = extents.length;
    for (const { firstPfn, endPfn } of pieces) {
      const pages = endPfn - firstPfn;
      const align = Math.min(HPAGE_PMD_NR, roundupPowOfTwo(pages));
      // One page stays free in front of every extent, or two extents that were apart would touch.
      const start = cursor + 1 + modulo(firstPfn - (cursor + 1), align);
      extents.push({ pfn: start, pages });
      cursor = start + pages;
    }
    let piece = 0;
    for (const r of layer) {
      while (runs.pfn[r]! >= pieces[piece]!.endPfn) piece++;
      pfn[r] = extents[firstExtent + piece]!.pfn + (runs.pfn[r]! - pieces[piece]!.firstPfn);
    }
  }
  return { pfn, extents, endPfn: cursor + 1 };
}

/**
 * Runs sorted by pfn, dealt out so that no page occurs twice in a layer. A page that the process maps twice (one
 * file mapped at two addresses) becomes two pages, because the comparison follows the contents of every virtual
 * page for itself.
 */
function layers(runs: PageRuns, sorted: readonly number[]): number[][] {
  const out: { runs: number[]; endPfn: number }[] = [];
  for (const r of sorted) {
    const start = runs.pfn[r]!;
    let layer = out.find((l) => l.endPfn <= start);
    if (layer === undefined) {
      layer = { runs: [], endPfn: 0 };
      out.push(layer);
    }
    layer.runs.push(r);
    layer.endPfn = start + runs.pageCount[r]!;
  }
  return out.map((l) => l.runs);
}

function wholeFolios(pfn: number, pages: number, order: number): Piece {
  const folio = 2 ** order;
  return { firstPfn: Math.floor(pfn / folio) * folio, endPfn: Math.ceil((pfn + pages) / folio) * folio };
}

/** Union of pieces sorted by their first run; a page mapped twice belongs to one extent. */
function mergePieces(sorted: Piece[]): Piece[] {
  const merged: { firstPfn: number; endPfn: number }[] = [];
  for (const piece of sorted.sort((a, b) => a.firstPfn - b.firstPfn)) {
    const last = merged.at(-1);
    if (last !== undefined && piece.firstPfn <= last.endPfn)
      last.endPfn = Math.max(last.endPfn, piece.endPfn);
    else merged.push({ ...piece });
  }
  return merged;
}

function modulo(value: number, size: number): number {
  return ((value % size) + size) % size;
}

/** Whether a run's pages have a page of their own: neither swapped out nor the shared zero page. */
export function hasPhysicalPage(flags: number): boolean {
  return (flags & (PageFlag.SWAPPED | PageFlag.ZERO)) === 0;
}
