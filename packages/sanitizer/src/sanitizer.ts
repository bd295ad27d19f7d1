import type { DmaDevice } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';
import { type CallSiteOption, CallSites } from './call-sites.ts';
import { FindingsLog } from './findings.ts';
import { DmaLedger } from './ledger.ts';
import type { Report, SanitizerMode } from './report.ts';
import type { RuleId } from './rule-id.ts';
import type { DmaRule } from './rule.ts';
import { causesFirst, DMA_RULES } from './rules/dma/dma-rules.ts';
import { tapDmaLayer } from './taps.ts';

/** How a sanitizer is attached. */
export interface SanitizerOptions {
  /** Keep reports, stop at the first with an exception, or only count. */
  readonly mode: SanitizerMode;
  /** Rules by number; default all. */
  readonly rules?: readonly RuleId[];
  /** Devices that exist already; later ones, and those that call the DMA API, are found without being named. */
  readonly devices?: readonly DmaDevice[];
  /** Which calls have their call site remembered for reports; microseconds each. Default none. */
  readonly callSites?: CallSiteOption;
  /** Called with every report, also in mode `stop` before the exception. */
  readonly onReport?: (report: Report) => void;
}

/**
 * Watches the DMA layer of one machine and compares what is done with the thirty invariants of the DMA API. It
 * listens to tracepoints only: with no sanitizer attached nothing of it runs.
 */
export class Sanitizer {
  readonly #log: FindingsLog;
  readonly #ledger: DmaLedger;
  readonly #stops: (() => void)[];

  /** Use {@link attachSanitizer}. @internal */
  constructor(machine: Machine, o: SanitizerOptions) {
    const sites = new CallSites(o.callSites ?? 'none');
    this.#log = new FindingsLog(machine, o.mode, sites, o.onReport);
    this.#ledger = new DmaLedger(machine, this.#log, chosen(o.rules), sites);
    for (const device of o.devices ?? []) this.watch(device);
    this.#stops = tapDmaLayer(this.#ledger);
  }

  /** What was found so far, oldest first; at most 1000. Empty in mode `count`. */
  get reports(): readonly Report[] {
    return this.#log.reports;
  }

  /** Breaches of a rule, or of all rules. */
  count(rule?: RuleId): number {
    if (rule !== undefined) return this.#log.counts.get(rule) ?? 0;
    let sum = 0;
    for (const n of this.#log.counts.values()) sum += n;
    return sum;
  }

  /** Rules that were broken, in the order of their numbers. */
  brokenRules(): RuleId[] {
    return DMA_RULES.filter((rule) => this.#log.counts.has(rule.id)).map((rule) => rule.id);
  }

  /** Accesses of a device through translations that its lazy domain has not flushed yet. Allowed, but a risk. */
  lazyWindowAccesses(device: DmaDevice): number {
    return this.#ledger.shadow(device.name).lazyWindow;
  }

  /** Bytes around the buffers of a device that share their pages and were exposed with them, summed over links. */
  paddingBytes(device: DmaDevice): number {
    return this.#ledger.shadow(device.name).paddingBytes;
  }

  /**
   * Tell the sanitizer of a device that was made before it was attached. It learns of every other one when that is
   * made, and of this one at its first call of the DMA API; until then rules that depend on the configuration give
   * page-table changes of its domain the benefit of the doubt.
   *
   * @throws RangeError when another device with that name is watched.
   */
  watch(device: DmaDevice): void {
    const shadow = this.#ledger.shadow(device.name);
    if (shadow.device !== null && shadow.device !== device)
      throw new RangeError(`another device named ${device.name} is watched already`);
    this.#ledger.watch(shadow, device);
  }

  /**
   * Say that physical memory belongs to somebody. A link that starts in a declared buffer and reaches beyond what
   * its owner has is then an exposure (rule I16), also when the neighbour is in use.
   */
  declareBuffer(owner: string, physBytes: number, sizeBytes: number): void {
    this.#ledger.declareBuffer(owner, physBytes, sizeBytes);
  }

  /**
   * A device goes: report what it still holds, and forget it. Call it where the driver releases the device; a device
   * that is destroyed is released by that.
   */
  releaseDevice(device: DmaDevice): void {
    this.#ledger.release(device);
  }

  /** The machine goes: report what any device still holds, stop listening. Returns all reports. */
  finish(): readonly Report[] {
    this.#ledger.end();
    this.detach();
    return this.reports;
  }

  /** Stop listening, without any check. */
  detach(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }
}

/**
 * Attach a sanitizer to a machine. Devices may be made before or after; mappings that exist already are not known
 * and not judged.
 *
 * @throws RangeError for an unknown rule.
 */
export function attachSanitizer(machine: Machine, options: SanitizerOptions): Sanitizer {
  return new Sanitizer(machine, options);
}

function chosen(ids: readonly RuleId[] | undefined): readonly DmaRule[] {
  if (ids === undefined) return causesFirst(DMA_RULES);
  const rules = ids.map((id) => {
    const rule = DMA_RULES.find((r) => r.id === id);
    if (rule === undefined) throw new RangeError(`no rule ${id}: rules are I1 to I30`);
    return rule;
  });
  return causesFirst(rules);
}
