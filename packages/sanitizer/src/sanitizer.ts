import type { DmaDevice } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';
import { FindingsLog } from './findings.ts';
import { DmaLedger } from './ledger.ts';
import type { Report, SanitizerMode } from './report.ts';
import type { RuleId } from './rule-id.ts';
import type { DmaRule } from './rule.ts';
import { DMA_RULES } from './rules/dma/dma-rules.ts';
import type { ReservedRegion } from './shadow/device-shadow.ts';

/** How a sanitizer is attached. */
export interface SanitizerOptions {
  /** Keep reports, stop at the first with an exception, or only count. */
  readonly mode: SanitizerMode;
  /** Rules by number; default all. */
  readonly rules?: readonly RuleId[];
  /** Devices whose configuration the rules may use, see {@link Sanitizer.watch}. */
  readonly devices?: readonly DmaDevice[];
  /** Remember the call site of every mapping, for reports; costs microseconds a call. Default false. */
  readonly captureSites?: boolean;
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

  /** Use {@link attachSanitizer}. @internal */
  constructor(machine: Machine, o: SanitizerOptions) {
    this.#log = new FindingsLog(machine, o.mode, o.onReport);
    this.#ledger = new DmaLedger(machine, this.#log, chosen(o.rules), o.captureSites ?? false);
    for (const device of o.devices ?? []) this.watch(device);
    this.#ledger.listen();
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
   * Tell the sanitizer how a device is configured. Without it, rules that depend on it give the benefit of the
   * doubt: the address limit, reserved regions, strict invalidation, leaf sizes, cache maintenance.
   *
   * @param reservedRegions - as the device was given; default the MSI window.
   * @throws RangeError when another device with that name is watched.
   */
  watch(device: DmaDevice, reservedRegions?: readonly ReservedRegion[]): void {
    const shadow = this.#ledger.shadow(device.name);
    if (shadow.device !== null && shadow.device !== device)
      throw new RangeError(`another device named ${device.name} is watched already`);
    shadow.watch(device, reservedRegions);
  }

  /**
   * Say that physical memory belongs to somebody. A link that starts in a declared buffer and reaches beyond what
   * its owner has is then an exposure (rule I16), also when the neighbour is in use.
   */
  declareBuffer(owner: string, physBytes: number, sizeBytes: number): void {
    this.#ledger.declareBuffer(owner, physBytes, sizeBytes);
  }

  /** A device goes: report what it still holds, and forget it. Call it where the driver releases the device. */
  releaseDevice(device: DmaDevice): void {
    this.#ledger.release(device.name);
  }

  /** The machine goes: report what any device still holds, stop listening. Returns all reports. */
  finish(): readonly Report[] {
    this.#ledger.end();
    return this.reports;
  }

  /** Stop listening, without any check. */
  detach(): void {
    this.#ledger.stop();
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
  if (ids === undefined) return DMA_RULES;
  return ids.map((id) => {
    const rule = DMA_RULES.find((r) => r.id === id);
    if (rule === undefined) throw new RangeError(`no rule ${id}: rules are I1 to I30`);
    return rule;
  });
}
