/**
 * Declaration of a tracepoint: its name and, in the type, what it carries.
 *
 * @typeParam T - the event as most listeners want it: a plain object.
 * @typeParam A - what the layer passes to `emit`; by default the event itself.
 */
export interface TracepointDef<T, A extends readonly unknown[] = [T]> {
  readonly name: string;
  /** Makes the event out of what is passed to `emit`; null when that is the event. */
  readonly build: ((...args: A) => T) | null;
  /** The event carries live objects, for listeners that check them; it is none of those that can be printed. */
  readonly live: boolean;
}

/**
 * Declare a tracepoint at module level: `export const FREE = defineTracepoint<FreeEvent>('free')`.
 *
 * Where events come every few nanoseconds, the layer passes the parts of an event as arguments, and `build` puts
 * them together for those listeners that want an object: `defineTracepoint('link', (dev, offset) => ({ ... }))`.
 */
export function defineTracepoint<T>(name: string): TracepointDef<T>;
export function defineTracepoint<T, A extends readonly unknown[]>(
  name: string,
  build: (...args: A) => T,
): TracepointDef<T, A>;
export function defineTracepoint<T, A extends readonly unknown[]>(
  name: string,
  build: ((...args: A) => T) | null = null,
): TracepointDef<T, A> {
  return Object.freeze({ name, build, live: false });
}

/** As {@link defineTracepoint}, for events that carry live objects; `TraceBus.onAll` does not hear them. */
export function defineLiveTracepoint<T>(name: string): TracepointDef<T> {
  return Object.freeze({ name, build: null, live: true });
}

/** One tracepoint of one machine. Layers keep it in a field and guard: `if (tp.enabled) tp.emit(...)`. */
export interface Tracepoint<T, A extends readonly unknown[] = [T]> {
  readonly name: string;
  /** Whether anybody listens; read it before building the event, so that an unwatched event costs one load. */
  readonly enabled: boolean;
  /**
   * Tell every listener, in the order in which they began to listen. What a listener throws ends the run. A field,
   * not a method: while one listener taps a tracepoint it is that listener itself.
   */
  readonly emit: (...args: A) => void;
}

/** Event as a listener of all tracepoints sees it. */
export interface TraceRecord {
  readonly name: string;
  readonly event: unknown;
}

type Arguments = readonly unknown[];

interface Listener {
  readonly listener: (...args: Arguments) => void;
  /** Takes what `emit` was given, not the event. */
  readonly taps: boolean;
}

class Point {
  readonly name: string;
  readonly live: boolean;
  enabled = false;
  emit: (...args: Arguments) => void = ignore;
  readonly #build: ((...args: Arguments) => unknown) | null;
  #listeners: readonly Listener[] = [];

  constructor(name: string, build: ((...args: Arguments) => unknown) | null, live: boolean) {
    this.name = name;
    this.live = live;
    this.#build = build;
  }

  /** The list is replaced, never changed, so that an emission under way is not disturbed. */
  add(listener: (...args: Arguments) => void, taps: boolean): () => void {
    // An object of its own, so that a function that listens twice can stop once.
    const own = { listener, taps };
    this.#set([...this.#listeners, own]);
    return () => this.#set(this.#listeners.filter((l) => l !== own));
  }

  #set(listeners: readonly Listener[]): void {
    this.#listeners = listeners;
    this.enabled = listeners.length > 0;
    this.emit = emitter(listeners, this.#build);
  }
}

function ignore(): void {}

/** One function that tells all of these listeners; the event is built once, and only if somebody wants it. */
function emitter(
  listeners: readonly Listener[],
  build: ((...args: Arguments) => unknown) | null,
): (...args: Arguments) => void {
  const [first] = listeners;
  if (first === undefined) return ignore;
  if (listeners.length === 1 && (first.taps || build === null)) return first.listener;
  return (...args) => {
    let event: unknown;
    for (const { listener, taps } of listeners) {
      if (taps || build === null) {
        listener(...args);
      } else {
        event ??= build(...args);
        listener(event);
      }
    }
  };
}

interface AllListener {
  readonly listener: (record: TraceRecord) => void;
  readonly stops: (() => void)[];
}

/** The observability bus of a machine. */
export class TraceBus {
  readonly #points = new Map<string, Point>();
  readonly #all: AllListener[] = [];

  /** The machine's instance of a declared tracepoint; keep it in a field. */
  point<T, A extends readonly unknown[]>(def: TracepointDef<T, A>): Tracepoint<T, A> {
    return this.#point(def) as Tracepoint<T, A>;
  }

  /**
   * Listen to one tracepoint.
   *
   * @param listener - called at each event, in the middle of the state change that it reports: it must not sleep.
   * @returns a function that stops listening.
   */
  on<T, A extends readonly unknown[]>(def: TracepointDef<T, A>, listener: (event: T) => void): () => void {
    return this.#point(def).add(listener as (event: unknown) => void, false);
  }

  /**
   * Listen to one tracepoint without an event object: the listener is given what the layer passed to `emit`. For
   * those who follow every call of a hot path.
   *
   * @returns a function that stops listening.
   */
  tap<T, A extends readonly unknown[]>(def: TracepointDef<T, A>, listener: (...args: A) => void): () => void {
    return this.#point(def).add(listener as (...args: Arguments) => void, true);
  }

  /**
   * Listen to every tracepoint whose events can be printed, those declared later included.
   *
   * @returns a function that stops listening.
   */
  onAll(listener: (record: TraceRecord) => void): () => void {
    const all: AllListener = { listener, stops: [] };
    this.#all.push(all);
    for (const point of this.#points.values()) if (!point.live) forward(point, all);
    return () => {
      const at = this.#all.indexOf(all);
      if (at >= 0) this.#all.splice(at, 1);
      for (const stop of all.stops.splice(0)) stop();
    };
  }

  #point<T, A extends readonly unknown[]>({ name, build, live }: TracepointDef<T, A>): Point {
    let point = this.#points.get(name);
    if (point === undefined) {
      point = new Point(name, build as ((...args: Arguments) => unknown) | null, live);
      this.#points.set(name, point);
      if (!live) for (const all of this.#all) forward(point, all);
    }
    return point;
  }
}

function forward(point: Point, all: AllListener): void {
  all.stops.push(point.add((event) => all.listener({ name: point.name, event }), false));
}
