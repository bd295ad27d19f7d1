/** Declaration of a tracepoint: its name and, in the type, what it carries. */
export interface TracepointDef<T> {
  readonly name: string;
  /** The event carries live objects, for listeners that check them; it is none of those that can be printed. */
  readonly live: boolean;
  /** Never set; carries the type. */
  readonly payload?: T;
}

/** Declare a tracepoint at module level: `export const LINK = defineTracepoint<LinkEvent>('dma_iova_link')`. */
export function defineTracepoint<T>(name: string): TracepointDef<T> {
  return Object.freeze({ name, live: false });
}

/** As {@link defineTracepoint}, for events that carry live objects; `TraceBus.onAll` does not hear them. */
export function defineLiveTracepoint<T>(name: string): TracepointDef<T> {
  return Object.freeze({ name, live: true });
}

/** One tracepoint of one machine. Layers keep it in a field and guard: `if (tp.enabled) tp.emit({...})`. */
export interface Tracepoint<T> {
  readonly name: string;
  /** Whether anybody listens; read it before building the event, so that an unwatched event costs one load. */
  readonly enabled: boolean;
  /** Tell every listener, in the order in which they began to listen. What a listener throws ends the run. */
  emit(event: T): void;
}

/** Event as a listener of all tracepoints sees it. */
export interface TraceRecord {
  readonly name: string;
  readonly event: unknown;
}

class Point<T> implements Tracepoint<T> {
  readonly name: string;
  readonly live: boolean;
  enabled = false;
  #listeners: readonly ((event: T) => void)[] = [];

  constructor(name: string, live: boolean) {
    this.name = name;
    this.live = live;
  }

  emit(event: T): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** The list is replaced, never changed, so that an emission under way is not disturbed. */
  add(listener: (event: T) => void): () => void {
    // Wrapped, so that a function that listens twice can stop once.
    const own = (event: T): void => listener(event);
    this.#listeners = [...this.#listeners, own];
    this.enabled = true;
    return () => {
      this.#listeners = this.#listeners.filter((l) => l !== own);
      this.enabled = this.#listeners.length > 0;
    };
  }
}

interface AllListener {
  readonly listener: (record: TraceRecord) => void;
  readonly stops: (() => void)[];
}

/** The observability bus of a machine. */
export class TraceBus {
  readonly #points = new Map<string, Point<unknown>>();
  readonly #all = new Set<AllListener>();

  /** The machine's instance of a declared tracepoint; keep it in a field. */
  point<T>(def: TracepointDef<T>): Tracepoint<T> {
    return this.#point(def);
  }

  /**
   * Listen to one tracepoint.
   *
   * @param listener - called at each event, in the middle of the state change that it reports: it must not sleep.
   * @returns a function that stops listening.
   */
  on<T>(def: TracepointDef<T>, listener: (event: T) => void): () => void {
    return (this.#point(def) as Point<T>).add(listener);
  }

  /**
   * Listen to every tracepoint whose events can be printed, those declared later included.
   *
   * @returns a function that stops listening.
   */
  onAll(listener: (record: TraceRecord) => void): () => void {
    const all: AllListener = { listener, stops: [] };
    this.#all.add(all);
    for (const point of this.#points.values()) if (!point.live) forward(point, all);
    return () => {
      this.#all.delete(all);
      for (const stop of all.stops.splice(0)) stop();
    };
  }

  #point({ name, live }: TracepointDef<unknown>): Point<unknown> {
    let point = this.#points.get(name);
    if (point === undefined) {
      point = new Point(name, live);
      this.#points.set(name, point);
      if (!live) for (const all of this.#all) forward(point, all);
    }
    return point;
  }
}

function forward(point: Point<unknown>, all: AllListener): void {
  all.stops.push(point.add((event) => all.listener({ name: point.name, event })));
}
