import type { DmaDevice } from '@gpusvm/dma-iova';
import type { Machine, TaskHandle } from '@gpusvm/kernel';
import { callSite } from './call-site.ts';
import type { CallSites } from './call-sites.ts';
import type { DmaOp } from './op.ts';
import {
  OUTSIDE,
  type Report,
  type ReportedRange,
  reportText,
  SanitizerError,
  type SanitizerMode,
} from './report.ts';
import type { RuleId } from './rule-id.ts';
import type { Detail, DmaRule, Findings } from './rule.ts';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import { Frames } from './shadow/frames.ts';
import type { ListMapping } from './shadow/list-mapping.ts';
import type { MappingView } from './shadow/mapping-view.ts';
import { describeMapping, survivorsIn } from './survivors.ts';

/** Reports kept; later ones are counted only. */
const MOST_REPORTS = 1000;

/** Collects what the rules find. */
export class FindingsLog implements Findings {
  readonly machine: Machine;
  readonly frames: Frames = new Frames();
  readonly reports: Report[] = [];
  readonly counts: Map<RuleId, number> = new Map();
  readonly byName: Map<string, DeviceShadow> = new Map();
  /** Every device that was watched, released ones included. */
  readonly watched: Set<DmaDevice> = new Set();
  /** Ranges of IOVA space that devices held when they were released. */
  leakedRanges = 0;
  /** A device that nobody named has a page table. */
  strangers = false;
  /** Names of the tasks that mapped something, by number. */
  readonly #tasks: string[] = [];
  #lastTask: TaskHandle | null = null;
  #lastNumber = 0;
  readonly #sites: CallSites;
  readonly #mode: SanitizerMode;
  readonly #onReport: ((report: Report) => void) | undefined;

  constructor(
    machine: Machine,
    mode: SanitizerMode,
    sites: CallSites,
    onReport: ((report: Report) => void) | undefined,
  ) {
    this.machine = machine;
    this.#sites = sites;
    this.#mode = mode;
    this.#onReport = onReport;
  }

  devices(): Iterable<DeviceShadow> {
    return this.byName.values();
  }

  /** Number of the running task; its name is kept for reports. */
  currentTask(): number {
    const task = this.machine.scheduler.current;
    return task === this.#lastTask ? this.#lastNumber : this.#noteTask(task);
  }

  /** The running task is another one than last time. */
  #noteTask(task: TaskHandle | null): number {
    this.#lastTask = task;
    this.#lastNumber = task === null ? 0 : task.id;
    if (task !== null) this.#tasks[task.id] ??= task.name;
    return this.#lastNumber;
  }

  taskName(id: number): string {
    return this.#tasks[id] ?? OUTSIDE;
  }

  mapping(device: DeviceShadow, mapping: MappingView): ReportedRange {
    return describeMapping(device, mapping, this.taskName(mapping.task), this.#sites.site(mapping.call));
  }

  list(_device: DeviceShadow, { addrBytes, firstPage, pages, task, call }: ListMapping): ReportedRange {
    const sizeBytes = pages * 4096;
    const site = this.#sites.site(call);
    return { addrBytes, offsetBytes: firstPage * 4096, sizeBytes, task: this.taskName(task), call, site };
  }

  survivors(op: DmaOp, firstPage: number, pages: number, flags: number): readonly ReportedRange[] {
    if (this.#mode === 'count') return [];
    return survivorsIn(op, firstPage, pages, flags, (mapping) => this.mapping(op.device, mapping));
  }

  report(rule: DmaRule, op: DmaOp, what: string, detail: Detail = {}): void {
    this.counts.set(rule.id, (this.counts.get(rule.id) ?? 0) + 1);
    if (this.#mode === 'count') return;
    const report = this.#describe(rule, op, what, detail);
    if (this.reports.length < MOST_REPORTS) this.reports.push(report);
    this.#onReport?.(report);
    if (this.#mode === 'stop') throw new SanitizerError(report);
  }

  #describe(rule: DmaRule, op: DmaOp, what: string, detail: Detail): Report {
    const { device } = op;
    const { reservations } = device;
    const id = detail.reservation ?? op.reservation;
    const base = id === 0 ? 0 : reservations.firstPage[id]! * 4096;
    const firstPage = detail.firstPage ?? op.firstPage;
    const { api, site } = callSite();
    const report = {
      rule: rule.id,
      name: rule.name,
      device: device.name,
      api,
      task: this.machine.currentTask().name,
      site,
      reservation:
        id === 0
          ? null
          : {
              addrBytes: reservations.addrBytes[id]!,
              offsetBytes: 0,
              sizeBytes: reservations.sizeBytes[id]!,
              task: this.taskName(reservations.task[id]!),
              call: reservations.call[id]!,
              site: this.#sites.site(reservations.call[id]!),
            },
      range: {
        addrBytes: firstPage * 4096,
        offsetBytes: firstPage * 4096 - base,
        sizeBytes: (detail.pages ?? op.pages) * 4096,
        task: '',
        call: 0,
        site: '',
      },
      firstHoleBytes: detail.firstHole === undefined ? -1 : detail.firstHole * 4096 - base,
      survivors: detail.survivors ?? [],
    };
    return { ...report, message: reportText(report, what) };
  }
}
