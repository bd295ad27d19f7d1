/** A named group of counters of one layer; always on, one typed array, no allocation per update. */
export interface CounterGroup<N extends string = string> {
  readonly name: string;
  readonly names: readonly N[];
  /** Values in the order of `names`; hot code adds to this directly. To read, use {@link get} or a snapshot. */
  readonly values: Float64Array;
  /** Current value by name. */
  get(name: N): number;
  /**
   * Count in a place of its own, as the kernel does per CPU: `fold` is called before every read and adds to
   * {@link values} what came since. Worth it where one number stands for several counters of a hot path.
   *
   * @returns a function that folds for the last time and ends this.
   */
  addSource(fold: () => void): () => void;
}

class Group<N extends string> implements CounterGroup<N> {
  readonly name: string;
  readonly names: readonly N[];
  readonly values: Float64Array;
  #sources: Set<() => void> | null = null;

  constructor(name: string, names: readonly N[]) {
    this.name = name;
    this.names = names;
    this.values = new Float64Array(names.length);
  }

  get(name: N): number {
    const index = this.names.indexOf(name);
    if (index < 0) throw new RangeError(`counter group ${this.name} has no counter ${name}`);
    this.fold();
    return this.values[index]!;
  }

  addSource(fold: () => void): () => void {
    const own = (): void => fold();
    const sources = (this.#sources ??= new Set());
    sources.add(own);
    return () => {
      if (sources.delete(own)) fold();
    };
  }

  /** Make {@link values} current. */
  fold(): void {
    if (this.#sources === null) return;
    for (const fold of this.#sources) fold();
  }
}

/** All counters of a machine. */
export class Counters {
  readonly #groups = new Map<string, Group<string>>();

  /**
   * The group with this name; made on first use.
   *
   * @throws RangeError when the group exists with other counter names.
   */
  group<const N extends string>(name: string, names: readonly N[]): CounterGroup<N> {
    const known = this.#groups.get(name);
    if (known === undefined) {
      const made = new Group<N>(name, names);
      this.#groups.set(name, made);
      return made;
    }
    if (known.names.length !== names.length || known.names.some((n, i) => n !== names[i])) {
      throw new RangeError(`counter group ${name} is already registered with other counters`);
    }
    return known as unknown as CounterGroup<N>;
  }

  /** Every counter as `group.name`, sorted by group and in declaration order inside it. */
  snapshot(): Map<string, number> {
    const out = new Map<string, number>();
    for (const group of [...this.#groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      group.fold();
      group.names.forEach((name, i) => out.set(`${group.name}.${name}`, group.values[i]!));
    }
    return out;
  }

  /** Set every counter to zero. */
  reset(): void {
    for (const group of this.#groups.values()) {
      group.fold();
      group.values.fill(0);
    }
  }
}
