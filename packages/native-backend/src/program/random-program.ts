import type { Access, Program, Step } from './program.ts';
import { Random } from './random.ts';
import { randomRawCall } from './random-raw-call.ts';
import { ARENA_PAGES } from './rig.ts';

const P = 4096;
/** Programs map in few pages, so that what they do meets. */
const BASE = 0x1100000;
const IOVA_PAGES = 24;
const LONGEST = 6;
const FILE_PAGES = 8;
/** Around what ends somewhere: the doorbell of interrupts, apertures of 32, 48 and 64 bits, HyperTransport. */
const EDGES: readonly string[] = [
  '0xfedff000',
  '0xfee00000',
  '0xfeeff000',
  '0xfef00000',
  '0xfffff000',
  '0x100000000',
  '0xfcfffff000',
  '0xfffffffff000',
  '0x1000000000000',
  '0xfffffffffffff000',
];

/** What a random program may do. */
export interface RandomProgramOptions {
  /** Steps after the first; default 24. */
  readonly steps?: number;
  /** Let the device read and write. */
  readonly dma: boolean;
}

/**
 * A program from a seed: maps, unmaps, copies, attaches, replaces, page tables, DMA; mostly sensible, one step in
 * twelve with something wrong in it. The same seed gives the same program.
 */
export function randomProgram(seed: number, o: RandomProgramOptions): Program {
  const state = new Generator(seed, o.dma);
  const program: Step[] = [{ op: 'ioas' }, { op: 'attach', ioas: 0 }];
  // Some programs map before the device comes.
  if (state.random.oneIn(4)) program.reverse();
  for (let i = 0; i < (o.steps ?? 24); i++) program.push(state.step());
  return program;
}

class Generator {
  readonly random: Random;
  readonly #dma: boolean;
  /** Objects that were probably made. */
  #ioas = 1;
  #hwpts = 0;
  #regions = 0;
  #files = 0;
  /** Where something was probably mapped, oldest first. */
  readonly #areas: { readonly ioas: number; readonly iova: number; readonly length: number }[] = [];
  readonly #gone = new Set<number>();

  constructor(seed: number, dma: boolean) {
    this.random = new Random(seed);
    this.#dma = dma;
  }

  step(): Step {
    const { random } = this;
    const kind = random.below(100);
    if (kind < 26) return this.#map();
    if (kind < 42) return this.#unmap();
    if (kind < 52) return this.#copy();
    if (this.#dma && kind < 64) return this.#write();
    if (this.#dma && kind < 74) return this.#read();
    if (kind < 84) return this.#attachment();
    if (kind < 91) return this.#object();
    if (kind < 97) return this.#other();
    return random.oneIn(2) ? this.#edge() : randomRawCall(random);
  }

  #map(): Step {
    const { random } = this;
    const length = this.#length();
    const odd = random.oneIn(12) ? random.pick([1, 0x100, 0x800, P - 1]) : 0;
    const ioas = this.#someIoas();
    const access = random.pick(['rw', 'rw', 'rw', 'r', 'w'] as const);
    const live = Array.from({ length: this.#regions }, (_, i) => i + 1).filter((r) => !this.#gone.has(r));
    if (live.length > 0 && random.oneIn(4))
      return { op: 'map', ioas, region: random.pick(live), at: 0, length: P, iova: this.#iova(), access };
    if (random.oneIn(10)) return this.#mapFile(ioas, length, access);
    const at = random.below(ARENA_PAGES - LONGEST) * P;
    if (random.oneIn(5)) return { op: 'map', ioas, at, length, access };
    const which = random.below(3);
    const iova = this.#iova() + (which === 2 ? odd : 0);
    if (odd === 0) this.#areas.push({ ioas, iova, length });
    return {
      op: 'map',
      ioas,
      at: at + (which === 0 ? odd : 0),
      length: length + (which === 1 ? odd : 0),
      iova,
      access,
    };
  }

  /** The first one makes the file. */
  #mapFile(ioas: number, length: number, access: Access): Step {
    const { random } = this;
    if (this.#files === 0 || random.oneIn(12)) {
      this.#files++;
      return { op: 'file', length: FILE_PAGES * P };
    }
    // Now and then beyond the end, or from the middle of a page.
    const at = random.below(FILE_PAGES - 2) * P + (random.oneIn(12) ? 0x200 : 0);
    const map = { op: 'mapFile', ioas, file: random.below(this.#files), at, length, access } as const;
    if (random.oneIn(5)) return map;
    const iova = this.#iova();
    this.#areas.push({ ioas, iova, length });
    return { ...map, iova };
  }

  #unmap(): Step {
    const { random } = this;
    const area = this.#someArea(true);
    if (area !== null) return { op: 'unmap', ...area };
    // Long enough to cover several areas and holes, or aimed at one.
    const length = random.oneIn(3) ? (1 + random.below(IOVA_PAGES)) * P : this.#length();
    const iova = random.oneIn(6) ? (1 + random.below(4)) * P : this.#iova();
    return { op: 'unmap', ioas: this.#someIoas(), iova, length: random.oneIn(20) ? length + 1 : length };
  }

  #copy(): Step {
    const { random } = this;
    const [from, to] = [this.#someIoas(), this.#someIoas()];
    const access = random.pick(['rw', 'rw', 'r', 'w'] as const);
    const area = this.#someArea(false);
    const source = area ?? { ioas: from, iova: this.#iova(), length: this.#length() };
    const copy = {
      op: 'copy',
      from: source.ioas,
      iova: source.iova,
      length: source.length,
      to,
      access,
    } as const;
    return random.oneIn(4) ? copy : { ...copy, toIova: this.#iova() };
  }

  #write(): Step {
    const { random } = this;
    return { op: 'dmaWrite', iova: this.#dmaIova(), length: this.#dmaLength(), seed: random.below(1000) };
  }

  #read(): Step {
    return { op: 'dmaRead', iova: this.#dmaIova(), length: this.#dmaLength() };
  }

  #attachment(): Step {
    const { random } = this;
    if (random.oneIn(6)) return { op: 'detach' };
    if (this.#hwpts > 0 && random.oneIn(3)) return { op: 'attach', hwpt: random.below(this.#hwpts) };
    return { op: 'attach', ioas: this.#someIoas() };
  }

  #object(): Step {
    const { random } = this;
    const kind = random.below(6);
    if (kind < 2 && this.#ioas < 3) {
      this.#ioas++;
      return { op: 'ioas' };
    }
    if (kind < 4) {
      this.#hwpts++;
      const ioas = this.#someIoas();
      if (random.oneIn(3)) return { op: 'hwpt', ioas, dirty: true };
      return random.oneIn(6) ? { op: 'hwpt', ioas, nestParent: true } : { op: 'hwpt', ioas };
    }
    if (kind === 4 && this.#hwpts > 0) return { op: 'destroy', hwpt: random.below(this.#hwpts) };
    return { op: 'destroy', ioas: this.#someIoas() };
  }

  #other(): Step {
    const { random } = this;
    const kind = random.below(8);
    if (kind === 0) return { op: 'ranges', ioas: this.#someIoas(), room: random.pick([0, 1, 16, 16]) };
    if (kind === 1) {
      const ioas = this.#someIoas();
      return random.oneIn(4) ? { op: 'hugePages', ioas } : { op: 'hugePages', ioas, on: random.oneIn(2) };
    }
    if (kind === 6) return random.oneIn(3) ? { op: 'rlimitMode', on: random.oneIn(2) } : this.#hwInfo();
    if (kind === 7 && this.#hwpts > 0)
      return { op: 'dirty', hwpt: random.below(this.#hwpts), on: random.oneIn(2) };
    if (kind === 2 && this.#regions > 0) {
      const region = 1 + random.below(this.#regions);
      if (!this.#gone.has(region)) {
        this.#gone.add(region);
        return { op: 'munmap', region };
      }
    }
    if (kind <= 3 && this.#regions < 3) {
      this.#regions++;
      return { op: 'region', length: P, access: random.oneIn(3) ? 'r' : 'rw' };
    }
    if (kind === 4) return { op: 'allow', ioas: this.#someIoas(), ranges: this.#allowed() };
    const at = random.below(ARENA_PAGES - 1) * P;
    return { op: 'fill', at, length: P, seed: random.below(1000) };
  }

  #hwInfo(): Step {
    const { random } = this;
    const room = random.pick([0, 4, 8, 24, 32]);
    return random.oneIn(3) ? { op: 'hwInfo', room, type: random.below(6) } : { op: 'hwInfo', room };
  }

  /** The whole window, pieces of it, or ranges that overlap or end before they begin. */
  #allowed(): (readonly [number, number])[] {
    const { random } = this;
    if (random.oneIn(2)) return [[BASE, BASE + 0xffffff]];
    return Array.from({ length: random.below(4) }, () => {
      const start = this.#iova();
      return [
        start,
        start + (random.below(IOVA_PAGES) - 1) * P + random.pick([P - 1, P - 1, P - 1, 0x7ff]),
      ] as const;
    });
  }

  /** A map or unmap where an aperture, a reserved range or the numbers end; all of it lies above the device's window. */
  #edge(): Step {
    const { random } = this;
    const ends = ['0x7fffffffffffffff', '0xffffffffffffffff'] as const;
    const length = random.oneIn(4) ? random.pick(ends) : this.#length();
    const place = { ioas: this.#someIoas(), iova: random.pick(EDGES), length };
    if (random.oneIn(3)) return { op: 'unmap', ...place };
    return { op: 'map', at: random.below(ARENA_PAGES - LONGEST) * P, ...place };
  }

  /** Two times in three one of the areas; it is forgotten when it is to go. */
  #someArea(goes: boolean): { readonly ioas: number; readonly iova: number; readonly length: number } | null {
    if (this.#areas.length === 0 || this.random.oneIn(3)) return null;
    const at = this.random.below(this.#areas.length);
    const area = this.#areas[at]!;
    if (goes) this.#areas.splice(at, 1);
    return area;
  }

  #someIoas(): number {
    return this.random.oneIn(24) ? 9 : this.random.below(this.#ioas);
  }

  #length(): number {
    return this.random.oneIn(40) ? 0 : (1 + this.random.below(LONGEST)) * P;
  }

  #iova(): number {
    return BASE + this.random.below(IOVA_PAGES) * P;
  }

  #dmaIova(): number {
    const area = this.#someArea(false);
    if (area !== null) return area.iova + 512 * this.random.below(8);
    const page = this.random.oneIn(8) ? (1 + this.random.below(3)) * P : this.#iova();
    return page + 512 * this.random.below(8);
  }

  /** Blocks of the slowest device's granule; up to three pages. */
  #dmaLength(): number {
    return 512 * (1 + this.random.below(this.random.oneIn(3) ? 20 : 3));
  }
}
