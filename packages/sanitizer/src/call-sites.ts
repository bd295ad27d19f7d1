import { callSite } from './call-site.ts';

/** Most call sites remembered; the oldest go first. */
const MOST = 1 << 20;

/**
 * Which calls that map something have their call site remembered. Reading the stack takes microseconds, so by default
 * nobody's is: a report names the task and the number of the call, and a second run of the same program with these
 * numbers names the sites too.
 */
export type CallSiteOption = 'none' | 'reservations' | 'every' | readonly number[];

/** Numbers the calls that map something, and remembers where some of them came from. */
export class CallSites {
  /** Calls so far. */
  calls = 0;
  /** The next call whose site is wanted, whatever it is; 0 = none. */
  wanted = 0;
  readonly #sites = new Map<number, string>();
  readonly #option: CallSiteOption;
  readonly #list: readonly number[];

  constructor(option: CallSiteOption) {
    this.#option = option;
    this.#list = typeof option === 'string' ? [] : [...option].sort((a, b) => a - b);
    this.#advance();
  }

  /** Number of a call that begins; reads the stack if that was asked for. */
  next(): number {
    const call = ++this.calls;
    if (call === this.wanted) this.capture(call);
    return call;
  }

  /** As {@link next}, for a call that makes a reservation or a mapping of its own. */
  nextReservation(): number {
    const call = this.next();
    if (this.#option === 'reservations') this.capture(call);
    return call;
  }

  /** Remember where the call under way comes from. */
  capture(call: number): void {
    if (this.#sites.size === MOST) {
      for (const oldest of this.#sites.keys()) {
        this.#sites.delete(oldest);
        break;
      }
    }
    this.#sites.set(call, callSite().site);
    this.#advance();
  }

  /** Where a call came from; empty when that is not known. */
  site(call: number): string {
    return this.#sites.get(call) ?? '';
  }

  #advance(): void {
    this.wanted = this.#option === 'every' ? this.calls + 1 : (this.#list.find((n) => n > this.calls) ?? 0);
  }
}
