import { digest, fillPattern } from './pattern.ts';
import { ARENA_PAGES } from './rig.ts';

const PAGE = 4096;
/** Pattern of the arena when a program starts. */
const ARENA_SEED = 1;

let pattern: Uint8Array | null = null;

/** Made once: in an emulated machine that takes longer than a program. */
function arenaPattern(): Uint8Array {
  if (pattern === null) {
    pattern = new Uint8Array(ARENA_PAGES * PAGE);
    fillPattern(pattern, ARENA_SEED);
  }
  return pattern;
}

/** @internal What the arena holds as far as a program knows, to tell which pages a device has changed. */
export class KnownArena {
  readonly #arena: Uint8Array;
  readonly #known = new Uint8Array(ARENA_PAGES * PAGE);

  /** @param arena - the bytes themselves. */
  constructor(arena: Uint8Array) {
    this.#arena = arena;
  }

  /** The same pattern in the arena for every program. */
  reset(): void {
    this.#known.set(arenaPattern());
    this.#arena.set(this.#known);
  }

  /** The program wrote here itself. */
  learn(at: number, length: number): void {
    this.#known.set(this.#arena.subarray(at, at + length), at);
  }

  /** Pages that are not as they were known, with their digests. They are known then. */
  changedPages(): string[] {
    const out: string[] = [];
    // Comparing is native and digesting is not; most of the arena is as it was.
    if (Buffer.compare(this.#arena, this.#known) === 0) return out;
    for (let page = 0; page < ARENA_PAGES; page++) {
      const at = page * PAGE;
      const now = this.#arena.subarray(at, at + PAGE);
      if (Buffer.compare(now, this.#known.subarray(at, at + PAGE)) === 0) continue;
      out.push(`${page}:${digest(now)}`);
      this.learn(at, PAGE);
    }
    return out;
  }
}
