import { allSteps } from './all-steps.ts';
import type { Range, Scenario } from './ast.ts';

/** First page of the first buffer: 64 GiB, far from where processes live. */
const BASE_PAGE = 2 ** 24;
const BLOCK = 512;

/** Where a buffer lies. */
export interface Placement {
  readonly page: number;
  readonly pages: number;
}

/**
 * Where the buffers of a scenario lie, the same for every interpreter: in order of their first appearance, each at a
 * 2 MiB boundary and at least 2 MiB away from the next, so that no two mappings are ever merged.
 */
export class Layout {
  readonly #places = new Map<string, Placement>();

  constructor(scenario: Scenario) {
    const sizes = new Map<string, number>();
    const grow = (buffer: string, pages: number): void => {
      sizes.set(buffer, Math.max(pages, sizes.get(buffer) ?? 0));
    };
    for (const { what } of allSteps(scenario)) {
      if (what.op === 'mmap') grow(what.buffer, what.pages);
      if (what.op === 'mremap') {
        const size = what.range.to === -1 ? sizes.get(what.range.buffer)! : what.range.to;
        grow(what.buffer, what.at + size - what.range.from);
      }
    }
    let page = BASE_PAGE;
    for (const [buffer, pages] of sizes) {
      this.#places.set(buffer, { page, pages });
      page += (Math.ceil(pages / BLOCK) + 1) * BLOCK;
    }
  }

  /** The place of a buffer. */
  buffer(name: string): Placement {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`there is no buffer '${name}'`);
    return place;
  }

  /** First page and number of pages of a range. */
  range(range: Range): Placement {
    const { page, pages } = this.buffer(range.buffer);
    const to = range.to === -1 ? pages : range.to;
    return { page: page + range.from, pages: to - range.from };
  }
}
