import { hex } from './oracle-model.ts';
import { ORACLE_MEMORY_BYTES, type OracleMode, type OracleProgram } from './program.ts';
import { RandomSource } from './random-source.ts';

const PAGE = 4096;
/** Slots that programs use: few, so that calls meet. */
const SLOTS = 6;
/** Slots of the reservations that look at the allocator after the program. */
const PROBES: readonly (readonly [number, number])[] = [
  [0x3f, PAGE],
  [0x3e, 4 * PAGE],
  [0x3d, 40 * PAGE],
  [0x3c, 512 * PAGE],
];
const PAGES: readonly number[] = [1, 1, 1, 2, 2, 3, 4, 5, 8, 8, 16, 17, 32, 33, 64, 100, 511, 512, 513, 1024];
const DIRECTIONS: readonly number[] = [0, 0, 0, 1, 2];
/** None, SKIP_CPU_SYNC, MMIO, REQUIRE_COHERENT, CC_SHARED, NO_WARN with WEAK_ORDERING. */
const ATTRIBUTES: readonly number[] = [0, 0, 0, 0, 0, 0, 0x20, 0x400, 0x1000, 0x2000, 0x102];
const MASKS: readonly number[] = [24, 28, 32, 36, 40, 48, 64];

/** A reservation as the generator believes it to be: enough to aim most calls at something. */
interface Aim {
  bytes: number;
  /** Page offset of its first byte. */
  pad: number;
  /** Links that nothing has undone, as offset and length. */
  links: (readonly [number, number])[];
}

/**
 * A random program: about four calls in five do what a driver would, the rest overlap, split, repeat, run over the
 * end, or use a wrong size. Ends by looking at everything that can be seen.
 */
export function randomProgram(seed: number, mode: OracleMode): OracleProgram {
  const random = new RandomSource(seed);
  const writer = new ProgramWriter(random);
  const length = 4 + random.below(36);
  for (let i = 0; i < length; i++) writer.step(mode === 'lazy');
  const probes = PROBES.map(([slot, bytes]) => `alloc ${hex(slot)} 0 ${hex(bytes)}`);
  return { mode, lines: [...writer.lines, 'dump', 'tables', ...probes] };
}

class ProgramWriter {
  readonly lines: string[] = [];
  readonly #random: RandomSource;
  readonly #aims: Aim[] = Array.from({ length: SLOTS }, () => ({ bytes: 0, pad: 0, links: [] }));
  /** Sizes of mappings; 0 = none. */
  readonly #mapped: number[] = Array.from({ length: SLOTS }, () => 0);
  readonly #lists: boolean[] = Array.from({ length: SLOTS }, () => false);

  constructor(random: RandomSource) {
    this.#random = random;
  }

  step(lazy: boolean): void {
    const n = this.#random.below(100);
    if (n < 16) this.#alloc();
    else if (n < 42) this.#link();
    else if (n < 46) this.#emit('sync', this.#slot(), this.#offset(), this.#size());
    else if (n < 58) this.#unlink();
    else if (n < 66) this.#release();
    else if (n < 78) this.#map();
    else if (n < 88) this.#unmap();
    else if (n < 92) this.#coherent();
    else if (n < 95) this.#raw();
    else if (n < 97) this.#look();
    else if (lazy) this.#emit('wait');
    else this.#emit('mask', this.#random.pick(MASKS));
  }

  #emit(name: string, ...args: readonly number[]): void {
    this.lines.push([name, ...args.map(hex)].join(' '));
  }

  #slot(): number {
    return this.#random.below(SLOTS);
  }

  /** Bytes: mostly whole pages. */
  #size(): number {
    const bytes = this.#random.pick(PAGES) * PAGE;
    if (this.#random.oneIn(40)) return 0;
    return this.#random.oneIn(6) ? Math.max(1, bytes - this.#random.below(PAGE)) : bytes;
  }

  #offset(): number {
    const bytes = this.#random.pick(PAGES) * PAGE - PAGE;
    return this.#random.oneIn(12) ? bytes + this.#random.below(PAGE) : bytes;
  }

  /** Offset in the test memory for a range, aligned to a random power of two, so that leaves of all sizes occur. */
  #phys(bytes: number): number {
    const alignment = PAGE * 2 ** this.#random.below(11);
    const room = Math.max(
      1,
      Math.floor((ORACLE_MEMORY_BYTES - Math.min(bytes, ORACLE_MEMORY_BYTES / 2)) / alignment),
    );
    const start = this.#random.below(room) * alignment;
    return this.#random.oneIn(10) ? start + this.#random.below(PAGE) : start;
  }

  #alloc(): void {
    const slot = this.#slot();
    const bytes = this.#random.oneIn(30) ? this.#random.pick([2 ** 30, 2 ** 32, 2 ** 41]) : this.#size();
    const pad = this.#random.oneIn(5) ? this.#random.below(PAGE) : 0;
    this.#emit('alloc', slot, pad, bytes);
    if (bytes > 0) this.#aims[slot] = { bytes, pad, links: [] };
  }

  #link(): void {
    const slot = this.#slot();
    const aim = this.#aims[slot]!;
    const wild = this.#random.oneIn(5);
    const dir = this.#random.oneIn(25) ? 3 : this.#random.pick(DIRECTIONS);
    const attrs = this.#random.pick(ATTRIBUTES);
    if (this.#random.oneIn(12)) this.#emit('fail', 1 + this.#random.below(4));
    if (wild || aim.bytes === 0 || aim.bytes > ORACLE_MEMORY_BYTES) {
      const size = this.#size();
      this.#emit('link', slot, this.#phys(size), this.#offset(), size, dir, attrs);
      return;
    }
    // The next piece behind what is linked, as drivers do.
    const end = Math.max(0, ...aim.links.map(([offset, length]) => offset + length));
    const left = aim.bytes - end;
    if (left <= 0) return this.#unlink();
    const isFirst = end === 0;
    const aligned = this.#phys(left) & ~(PAGE - 1);
    const whole = Math.min(left, this.#random.pick(PAGES) * PAGE);
    const size = isFirst && aim.pad > 0 && whole < left ? Math.max(1, whole - aim.pad) : whole;
    this.#emit('link', slot, isFirst ? aligned + aim.pad : aligned, end, size, dir, attrs);
    aim.links.push([end, size]);
  }

  #unlink(): void {
    const slot = this.#slot();
    const aim = this.#aims[slot]!;
    const dir = this.#random.pick(DIRECTIONS);
    const attrs = this.#random.pick(ATTRIBUTES);
    if (aim.links.length === 0 || this.#random.oneIn(4)) {
      this.#emit('unlink', slot, this.#offset(), this.#size(), dir, attrs);
      return;
    }
    const [offset, length] = aim.links.splice(this.#random.below(aim.links.length), 1)[0]!;
    this.#emit('unlink', slot, offset, length, dir, attrs);
  }

  #release(): void {
    const slot = this.#slot();
    const aim = this.#aims[slot]!;
    const linked = Math.max(0, ...aim.links.map(([offset, length]) => offset + length));
    if (this.#random.oneIn(3)) this.#emit('free', slot);
    else
      this.#emit(
        'destroy',
        slot,
        this.#random.oneIn(5) ? this.#size() : linked,
        0,
        this.#random.pick(ATTRIBUTES),
      );
    aim.links = [];
  }

  #map(): void {
    const slot = this.#slot();
    const size = this.#size();
    this.#mapped[slot] = size;
    this.#lists[slot] = this.#random.oneIn(4);
    if (this.#lists[slot]) {
      // An empty segment behind others may cost a gap of 4 GiB, page by page.
      const segments = Array.from({ length: 1 + this.#random.below(6) }, (_, i) => {
        const bytes = i === 0 ? this.#size() : Math.max(1, this.#size());
        return [this.#phys(bytes), bytes];
      });
      this.#emit(
        'map_sg',
        slot,
        this.#random.pick(DIRECTIONS),
        this.#random.pick(ATTRIBUTES),
        ...segments.flat(),
      );
      return;
    }
    const call = this.#random.pick(['map_phys', 'map_phys', 'map_page', 'map_resource']);
    const attrs = this.#random.pick(ATTRIBUTES);
    this.#emit(call, slot, this.#phys(size), size, this.#random.pick(DIRECTIONS), attrs);
  }

  #unmap(): void {
    const slot = this.#slot();
    if (this.#lists[slot]) {
      this.#emit('unmap_sg', slot, this.#random.pick(DIRECTIONS), 0);
      return;
    }
    const call = this.#random.pick(['unmap_phys', 'unmap_phys', 'unmap_page', 'unmap_resource']);
    const size = this.#random.oneIn(6) ? this.#size() : this.#mapped[slot]!;
    this.#emit(call, slot, size, this.#random.pick(DIRECTIONS), this.#random.pick(ATTRIBUTES));
  }

  #coherent(): void {
    const slot = this.#slot();
    if (this.#random.oneIn(2)) this.#emit('coherent', slot, Math.max(1, Math.min(this.#size(), 64 * PAGE)));
    else this.#emit('free_coherent', slot);
  }

  /** iommu_map and iommu_unmap, below and among the addresses that the DMA API uses. */
  #raw(): void {
    const base = this.#random.pick([0x10000000, 0xffe00000, 0xfffff000, 0xffff8000]);
    const iova = base + this.#random.below(4) * PAGE;
    const bytes = this.#random.pick(PAGES) * PAGE;
    if (this.#random.oneIn(6)) this.#emit('fail', 1 + this.#random.below(4));
    if (this.#random.oneIn(3)) this.#emit('iommu_unmap', iova, bytes);
    else
      this.#emit('iommu_map', iova, this.#phys(bytes) & ~(PAGE - 1), bytes, this.#random.pick([1, 2, 3, 7]));
  }

  #look(): void {
    const slot = this.#slot();
    this.lines.push(
      this.#random.pick(['dump', 'tables', `state ${hex(slot)}`, `at ${hex(slot)} ${hex(this.#offset())}`]),
    );
  }
}
