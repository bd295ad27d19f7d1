import { hex } from './oracle-model.ts';
import type { OracleMode, OracleProgram } from './program.ts';
import { RandomSource } from './random-source.ts';

/** Slots that programs use, of mappings and of states: few, so that calls meet. */
const SLOTS = 5;
const STATE_BASE = 0x40;
/** Memory whose bytes programs look at. */
const MEMORY = 0x80000;
const SIZES: readonly number[] = [
  1, 0x20, 0x100, 0x200, 0x7f0, 0x800, 0x801, 0xff0, 0x1000, 0x1001, 0x1800, 0x2000, 0x2fff, 0x5000, 0x10010,
  0x20000, 0x3f000, 0x3fff0, 0x40000, 0x40001,
];
const OFFSETS: readonly number[] = [0, 0, 0x10, 0x100, 0x7f0, 0x800, 0x810, 0xe00, 0xff0];
const DIRECTIONS: readonly number[] = [0, 0, 1, 2];
/** None, SKIP_CPU_SYNC, MMIO, REQUIRE_COHERENT, CC_SHARED. */
const ATTRIBUTES: readonly number[] = [0, 0, 0, 0, 0, 0x20, 0x400, 0x1000, 0x2000];
const MIN_ALIGN: readonly number[] = [0, 0x1ff, 0x7ff, 0xfff, 0xfff, 0xfff, 0x1fff];
/** The kernel says no more than ten times in five seconds that its buffer is full, unless it must not say it. */
const NO_WARN = 0x100;

/**
 * A random program about bounced memory: what is copied when, what a device sees beside its buffer, which slots are taken.
 * For an untrusted device, or for direct mappings of a kernel that bounces all of them.
 */
export function randomBounceProgram(seed: number, mode: OracleMode): OracleProgram {
  const random = new RandomSource(seed);
  const writer = new Writer(random, mode === 'untrusted');
  writer.begin();
  const length = 6 + random.below(40);
  for (let i = 0; i < length; i++) writer.step();
  const end = [`sum 0 ${hex(MEMORY)}`, ...(mode === 'untrusted' ? ['dump', 'tables'] : [])];
  return { mode, lines: [...writer.lines, ...end, 'map_phys 3f 10 20 0 100', 'map_phys 3e 10 1000 0 100'] };
}

class Writer {
  readonly lines: string[] = [];
  readonly #random: RandomSource;
  readonly #translated: boolean;
  readonly #sizes: number[] = Array.from({ length: SLOTS }, () => 0x100);
  readonly #lists: boolean[] = Array.from({ length: SLOTS }, () => false);
  /** Bytes that are linked in a state, from its first on. */
  readonly #linked: number[] = Array.from({ length: SLOTS }, () => 0);
  readonly #starts: number[] = Array.from({ length: SLOTS }, () => 0);

  constructor(random: RandomSource, translated: boolean) {
    this.#random = random;
    this.#translated = translated;
  }

  begin(): void {
    this.#emit('min_align', this.#random.pick(MIN_ALIGN));
    this.#emit('fill', 0, MEMORY, this.#random.below(256));
  }

  step(): void {
    const n = this.#random.below(100);
    if (n < 22) this.#map();
    else if (n < 36) this.#unmap();
    else if (n < 50) this.#sync();
    else if (n < 62) this.#touch();
    else if (n < 66) this.#fill();
    else if (n < 68) this.#emit('min_align', this.#random.pick(MIN_ALIGN));
    else if (!this.#translated) this.#map();
    else if (n < 74) this.#alloc();
    else if (n < 88) this.#link();
    else if (n < 94) this.#unlink();
    else this.#release();
  }

  #emit(name: string, ...args: readonly number[]): void {
    this.lines.push([name, ...args.map(hex)].join(' '));
  }

  #slot(): number {
    return this.#random.below(SLOTS);
  }

  #size(): number {
    return this.#random.oneIn(4) ? 1 + this.#random.below(0x3000) : this.#random.pick(SIZES);
  }

  #phys(): number {
    const page = this.#random.below(0x40) * 0x1000;
    return page + (this.#random.oneIn(4) ? this.#random.below(0x1000) : this.#random.pick(OFFSETS));
  }

  #attrs(): number {
    return this.#random.pick(ATTRIBUTES) | NO_WARN;
  }

  #map(): void {
    const slot = this.#slot();
    this.#lists[slot] = this.#random.oneIn(4);
    const dir = this.#random.pick(DIRECTIONS);
    if (this.#lists[slot]) {
      const count = 1 + this.#random.below(4);
      const segments = Array.from({ length: count }, () => [this.#phys(), this.#size()]);
      this.#sizes[slot] = segments[0]![1]!;
      this.#emit('map_sg', slot, dir, this.#attrs(), ...segments.flat());
      return;
    }
    const size = this.#size();
    this.#sizes[slot] = size;
    this.#emit(
      this.#random.pick(['map_phys', 'map_phys', 'map_page']),
      slot,
      this.#phys(),
      size,
      dir,
      this.#attrs(),
    );
  }

  #unmap(): void {
    const slot = this.#slot();
    const dir = this.#random.pick(DIRECTIONS);
    const attrs = this.#random.oneIn(3) ? this.#attrs() : 0;
    if (this.#lists[slot]) this.#emit('unmap_sg', slot, dir, attrs);
    else
      this.#emit('unmap_phys', slot, this.#random.oneIn(4) ? this.#size() : this.#sizes[slot]!, dir, attrs);
  }

  #sync(): void {
    const slot = this.#slot();
    const dir = this.#random.pick(DIRECTIONS);
    const who = this.#random.pick(['cpu', 'device']);
    if (this.#lists[slot]) {
      this.#emit(`sync_sg_${who}`, slot, dir);
      return;
    }
    const offset = this.#random.below(this.#sizes[slot]!);
    const size = this.#random.oneIn(6) ? this.#size() : 1 + this.#random.below(this.#sizes[slot]! - offset);
    this.#emit(`sync_${who}`, slot, offset, size, dir);
  }

  /** The device reads or writes: mostly within its buffer, now and then what lies around it. */
  #touch(): void {
    const slot = this.#slot();
    const isState = this.#translated && this.#random.oneIn(3);
    const most = isState ? this.#linked[slot]! : this.#sizes[slot]!;
    const offset = this.#random.oneIn(3) ? this.#random.below(Math.max(1, most)) : 0;
    const size = this.#random.oneIn(5) ? this.#size() : Math.max(1, most - offset);
    const number = isState ? STATE_BASE + slot : slot;
    if (this.#random.oneIn(2)) this.#emit('dev_fill', number, offset, size, this.#random.below(256));
    else this.#emit('dev_sum', number, offset, size);
  }

  #fill(): void {
    this.#emit('fill', this.#phys(), this.#random.pick([0x10, 0x400, 0x1800]), this.#random.below(256));
  }

  #alloc(): void {
    const slot = this.#slot();
    this.#starts[slot] = this.#phys();
    this.#linked[slot] = 0;
    this.#emit('alloc', slot, this.#starts[slot], this.#random.pick([0x100, 0x2000, 0x5000, 0x10000]));
  }

  #link(): void {
    const slot = this.#slot();
    const linked = this.#linked[slot]!;
    const dir = this.#random.oneIn(25) ? 3 : this.#random.pick(DIRECTIONS);
    const size = this.#size() % 0x8000 || 0x1000;
    if (this.#random.oneIn(10)) this.#emit('fail', 1 + this.#random.below(3));
    if (this.#random.oneIn(6)) {
      this.#emit('link', slot, this.#phys(), this.#random.pick([0, 0x1000, 0x800]), size, dir, this.#attrs());
      return;
    }
    // Behind what is linked, to a page's end: further links may then follow.
    const start = linked === 0 ? this.#starts[slot]! : this.#phys() & ~0xfff;
    const whole = this.#random.oneIn(2) ? size : Math.ceil((start + size) / 0x1000) * 0x1000 - start;
    this.#emit('link', slot, start, linked, whole, dir, this.#attrs());
    this.#linked[slot] = linked + whole;
  }

  #unlink(): void {
    const slot = this.#slot();
    const offset = this.#random.oneIn(2) ? 0 : this.#random.below(this.#linked[slot]! + 1);
    const size = this.#random.oneIn(2) ? this.#linked[slot]! : this.#size();
    this.#emit('unlink', slot, offset, size, this.#random.pick(DIRECTIONS), this.#attrs());
  }

  #release(): void {
    const slot = this.#slot();
    if (this.#random.oneIn(4)) this.#emit('free', slot);
    else this.#emit('destroy', slot, this.#linked[slot]!, this.#random.pick(DIRECTIONS), this.#attrs());
    this.#linked[slot] = 0;
  }
}
