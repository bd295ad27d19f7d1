import type { Choice } from './choice.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Failure injection by named site and count, after Documentation/fault-injection (fail_nth).
 *
 * Code that can fail asks its site: `if (site.shouldFail()) return -ENOMEM;`. A test runs a scenario once to
 * learn how often each site is asked and then once more for every k with the k-th call failing.
 */
export interface FaultSite {
  readonly name: string;
  /** Times this site was asked since the machine was made. */
  readonly calls: number;
  /** Ask; true means fail now. */
  shouldFail(): boolean;
  /**
   * Ask `count` times at once, for operations on runs of pages.
   *
   * @returns true when none of them fails; false, and nothing was asked, when one might: then ask one by one.
   */
  tryPass(count: number): boolean;
}

class Site implements FaultSite {
  readonly name: string;
  calls = 0;
  failures = 0;
  /** Call numbers (1-based) that fail; null when none is armed, so the common path is one test. */
  armed: Set<number> | null = null;
  readonly #owner: FaultInjection;

  constructor(name: string, owner: FaultInjection) {
    this.name = name;
    this.#owner = owner;
  }

  shouldFail(): boolean {
    this.calls++;
    if (this.#owner.asked && this.#owner.decides(this.name)) {
      this.failures++;
      return true;
    }
    if (this.armed === null || !this.armed.delete(this.calls)) return false;
    this.failures++;
    return true;
  }

  tryPass(count: number): boolean {
    if (this.armed !== null || this.#owner.anyNth !== 0) return false;
    this.calls += count;
    return true;
  }
}

/** All fault sites of a machine. */
export class FaultInjection {
  readonly #sites = new Map<string, Site>();
  readonly #choice: Choice | null;
  readonly #scheduler: Scheduler | null;
  readonly #object: number;
  #anyCalls = 0;
  /** When not 0: the call of any site, counted from arming on, that fails. Set by {@link failAnyNth}. */
  anyNth = 0;
  /** Failures that the machine may still choose. Set by {@link chooseFailures}. */
  failures = 0;
  #choosers: ReadonlySet<string> | null = null;
  /** Trylocks of free locks that the machine may still choose to fail. Set by {@link chooseTrylocks}. */
  trylocks = 0;
  /** @internal Sites have to ask {@link decides}. */
  asked = false;

  /**
   * @param choice - what {@link chooseFailures} draws from.
   * @param scheduler - where the accesses to the remaining number of failures are noted.
   */
  constructor(choice: Choice | null = null, scheduler: Scheduler | null = null) {
    this.#choice = choice;
    this.#scheduler = scheduler;
    this.#object = scheduler?.newObject() ?? 0;
  }

  /** The site with this name, made on first use. Keep it in a field. */
  site(name: string): FaultSite {
    let site = this.#sites.get(name);
    if (site === undefined) {
      site = new Site(name, this);
      this.#sites.set(name, site);
    }
    return site;
  }

  /**
   * Make the n-th call of a site from now on fail, once. May be armed for several calls.
   *
   * @param name - the site's name.
   * @param nth - 1 is the next call.
   */
  failNth(name: string, nth: number): void {
    if (!Number.isInteger(nth) || nth < 1) throw new RangeError(`failNth counts from 1, got ${nth}`);
    const site = this.site(name) as Site;
    site.armed ??= new Set();
    site.armed.add(site.calls + nth);
  }

  /** Make the n-th call of any site from now on fail (the kernel's /proc/self/fail-nth); 0 disarms. */
  failAnyNth(nth: number): void {
    if (!Number.isInteger(nth) || nth < 0)
      throw new RangeError(`failAnyNth counts from 1, or 0 to disarm, got ${nth}`);
    this.#anyCalls = 0;
    this.anyNth = nth;
    this.#update();
  }

  /**
   * Let the machine choose at every call whether it fails, until `most` have failed: random under a seed, every
   * possibility in an exhaustive search.
   *
   * @param most - failures at most; 0 ends it.
   * @param names - the sites concerned; default all.
   */
  chooseFailures(most: number, names?: readonly string[]): void {
    this.failures = this.#budget(most, 'chooseFailures');
    this.#choosers = names === undefined ? null : new Set(names);
    this.#update();
  }

  /** Let the machine choose at every trylock of a free lock whether it fails, until `most` have failed. */
  chooseTrylocks(most: number): void {
    this.trylocks = this.#budget(most, 'chooseTrylocks');
  }

  /** Whether a trylock of a free lock fails all the same; asked by locks while `trylocks` is not 0. */
  choosesTrylock(): boolean {
    if (this.trylocks === 0 || !this.#chooses()) return false;
    this.trylocks--;
    return true;
  }

  /** @internal Whether this call of a site fails by {@link failAnyNth} or {@link chooseFailures}. */
  decides(name: string): boolean {
    if (this.anyNth !== 0 && ++this.#anyCalls === this.anyNth) {
      this.anyNth = 0;
      this.#update();
      return true;
    }
    if (this.failures === 0 || (this.#choosers !== null && !this.#choosers.has(name))) return false;
    if (!this.#chooses()) return false;
    this.failures--;
    this.#update();
    return true;
  }

  /** The number of failures left is shared by all tasks, so every question is an access to it. */
  #chooses(): boolean {
    this.#scheduler?.accesses?.write(this.#object);
    return this.#choice!.choose(2) === 1;
  }

  #budget(most: number, what: string): number {
    if (this.#choice === null) throw new Error(`${what} needs the choice of a machine`);
    if (!Number.isInteger(most) || most < 0)
      throw new RangeError(`${what} takes a number of failures, got ${most}`);
    return most;
  }

  #update(): void {
    this.asked = this.anyNth !== 0 || this.failures !== 0;
  }

  /** Disarm everything; call counts stay. */
  reset(): void {
    this.anyNth = 0;
    this.failures = 0;
    this.trylocks = 0;
    this.#update();
    for (const site of this.#sites.values()) site.armed = null;
  }

  /** Every site made so far with its counts, sorted by name. */
  sites(): { name: string; calls: number; failures: number }[] {
    return [...this.#sites.values()]
      .map(({ name, calls, failures }) => ({ name, calls, failures }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
