import { TagMemory } from '@gpusvm/dma-iova';
import { FolioTable, Mm, unpinUserPages, type Userfaultfd } from '@gpusvm/hmm';
import { type Dmirror, DmirrorDevice } from '@gpusvm/hmm/test-hmm';
import { Machine, type MachineOptions, type Task } from '@gpusvm/kernel';
import type { Scenario } from '../ast.ts';
import { Layout } from '../layout.ts';

const RAM_PAGES = 16384;
const SWAP_PAGES = 4096;
const CHUNK_PAGES = 2048;

/** An open device; a child inherits it and acts on the address space of the process that opened it. */
export interface OpenFile {
  readonly mirror: Dmirror;
  users: number;
}

/** A process of a scenario. */
export interface Process {
  readonly name: string;
  readonly mm: Mm;
  readonly files: Map<string, OpenFile>;
  readonly watches: Userfaultfd[];
  exited: boolean;
}

/** Pages that somebody holds. */
export interface Pin {
  readonly pfns: Float64Array;
  readonly get: boolean;
  readonly dirty: boolean;
}

/** Everything that a scenario talks about, as a model: a machine, its memory and devices, its processes. */
export class ScenarioWorld {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly layout: Layout;
  readonly devices: Map<string, DmirrorDevice> = new Map();
  readonly processes: Map<string, Process> = new Map();
  readonly pins: Map<string, Pin> = new Map();

  constructor(scenario: Scenario, options: MachineOptions) {
    this.machine = new Machine(options);
    this.folios = new FolioTable(this.machine, new TagMemory(this.machine, { pages: RAM_PAGES }));
    this.folios.swap.on(SWAP_PAGES);
    this.layout = new Layout(scenario);
    for (const { name, type } of scenario.devices) {
      this.devices.set(name, new DmirrorDevice(this.folios, { name, type, chunkPages: CHUNK_PAGES }));
    }
  }

  /** The process with this name; the first one is made here, the others by fork. */
  process(name: string): Process {
    const known = this.processes.get(name);
    if (known !== undefined) return known;
    return this.#add(name, new Mm(this.machine, this.folios, { name }), new Map());
  }

  /** A child with the open files of its parent. */
  born(name: string, mm: Mm, parent: Process): void {
    const files = new Map(parent.files);
    for (const file of files.values()) file.users++;
    this.#add(name, mm, files);
  }

  #add(name: string, mm: Mm, files: Map<string, OpenFile>): Process {
    const process = { name, mm, files, watches: [], exited: false };
    this.processes.set(name, process);
    return process;
  }

  /** Close a process's file; the last one to do so closes the device. */
  *close(process: Process, device: string): Task<void> {
    const file = process.files.get(device);
    process.files.delete(device);
    if (file !== undefined && --file.users === 0) yield* file.mirror.close();
  }

  /** exit(2): the address space goes, then the files. */
  *exit(process: Process): Task<void> {
    process.exited = true;
    for (const watch of process.watches) watch.close();
    yield* process.mm.exit();
    for (const device of process.files.keys()) yield* this.close(process, device);
  }

  /** Everybody exits and every pin is dropped. */
  *tearDown(): Task<void> {
    for (const name of this.pins.keys()) this.unpin(name);
    for (const process of this.processes.values()) if (!process.exited) yield* this.exit(process);
  }

  /** Drop a pin. */
  unpin(name: string): void {
    const pin = this.pins.get(name)!;
    this.pins.delete(name);
    unpinUserPages(this.folios, pin.pfns, pin.pfns.length, { get: pin.get, dirty: pin.dirty });
  }

  /** Open devices, each once. */
  mirrors(): Set<Dmirror> {
    return new Set([...this.processes.values()].flatMap((p) => [...p.files.values()].map((f) => f.mirror)));
  }
}
