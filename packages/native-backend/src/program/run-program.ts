import { EINVAL } from '@gpusvm/kernel';
import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import type { Sys } from '../sys.ts';
import type { Call } from '../uapi/call.ts';
import * as uapi from '../uapi/iommufd.ts';
import { decode, encode, type Input, sizeOf } from '../uapi/layout.ts';
import { VFIO_CALLS } from '../uapi/vfio.ts';
import { KnownArena } from './known-arena.ts';
import { digest, fillPattern } from './pattern.ts';
import { bytes, type Program, type Step } from './program.ts';
import { AlignedMemory, Rig, type RigDevice } from './rig.ts';

const PAGE = 4096;
const NOWHERE = 0x1000n;
const ACCESS = { r: 4, w: 2, rw: 6, none: 0 } as const;
const CALLS: readonly Call[] = [...uapi.IOMMUFD_CALLS, ...VFIO_CALLS];

/**
 * Run a program on a fresh iommufd and device.
 *
 * @returns one line a step: the step's name, then errno or out fields, then what DMA did. The device and everything
 *   that the program made is disposed.
 */
export function runProgram(sys: Sys, device: RigDevice, program: Program): string[] {
  const session = new ProgramSession(sys, device);
  try {
    return session.run(program);
  } finally {
    session[Symbol.dispose]();
  }
}

/**
 * Runs programs one after the other on one iommufd and one bound device, which spares the reset of the device between
 * them. Each program starts with nothing but the device and the same pattern in the arena.
 */
export class ProgramSession implements Disposable {
  readonly #rig: Rig;
  readonly #known: KnownArena;

  constructor(sys: Sys, device: RigDevice) {
    this.#rig = new Rig(sys, device);
    this.#known = new KnownArena(this.#rig.arena.bytes);
  }

  /** @returns one line a step. */
  run(program: Program): string[] {
    const run = new Run(this.#rig, this.#known);
    this.#known.reset();
    try {
      return program.map((step) => `${step.op}: ${run.step(step)}`);
    } finally {
      run.cleanUp();
    }
  }

  [Symbol.dispose](): void {
    this.#rig[Symbol.dispose]();
  }
}

/** The state of a running program: what its numbers stand for. */
class Run {
  readonly #rig: Rig;
  readonly #known: KnownArena;
  readonly #ioas: number[] = [];
  readonly #hwpts: number[] = [];
  readonly #regions: (AlignedMemory | null)[] = [null];
  readonly #faultQueues: number[] = [];
  #isAttached = false;

  constructor(rig: Rig, known: KnownArena) {
    this.#rig = rig;
    this.#known = known;
  }

  /** Destroy what the program made; what it destroyed itself is gone already. */
  cleanUp(): void {
    this.#rig.device.detach();
    for (const id of [...this.#hwpts, ...this.#faultQueues, ...this.#ioas])
      invoke(this.#rig.sys, this.#rig.iommufd.fd, uapi.IOMMU_DESTROY, { id });
    for (const region of this.#regions) region?.memory.unmap();
  }

  step(step: Step): string {
    switch (step.op) {
      case 'ioas':
        return this.#makeIoas();
      case 'map':
        return this.#map(step);
      case 'unmap':
        return this.#call(
          uapi.IOMMU_IOAS_UNMAP,
          { ioas_id: this.#ioasId(step.ioas), iova: bytes(step.iova), length: bytes(step.length) },
          ['length'],
        );
      case 'copy':
        return this.#copy(step);
      case 'ranges':
        return this.#ranges(step.ioas, step.room ?? 16);
      case 'allow':
        return this.#allow(step.ioas, step.ranges);
      case 'hwpt':
        return this.#makeHwpt(step);
      case 'attach':
        return this.#attach(step);
      case 'detach':
        this.#isAttached = false;
        return resultName(this.#rig.device.detach());
      case 'destroy':
        return this.#call(uapi.IOMMU_DESTROY, { id: this.#targetId(step) }, []);
      case 'hugePages':
        return this.#option(uapi.IOMMU_OPTION_HUGE_PAGES, this.#ioasId(step.ioas), step.on);
      case 'rlimitMode':
        return this.#option(uapi.IOMMU_OPTION_RLIMIT_MODE, 0, step.on);
      case 'hwInfo':
        return this.#hwInfo();
      case 'faultQueue':
        return this.#faultQueue();
      case 'region':
        this.#regions.push(new AlignedMemory(this.#rig.sys, step.length, step.access));
        return '0';
      case 'munmap':
        return resultName(this.#regions[step.region]?.memory.unmap() ?? -EINVAL);
      case 'fill':
        return this.#fill(step);
      case 'look':
        return this.#pages(this.#memory(step.region, step.at, step.length));
      case 'dmaWrite':
        return this.#dmaWrite(step);
      case 'dmaRead':
        return this.#dmaRead(step);
      case 'dirty':
        return this.#call(
          uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
          { hwpt_id: this.#hwptId(step.hwpt), flags: step.on ? 1 : 0 },
          [],
        );
      case 'readDirty':
        return this.#readDirty(step);
      case 'raw':
      default:
        return this.#raw(step);
    }
  }

  #ioasId(index: number): number {
    return this.#ioas[index] ?? 0xffff;
  }

  #hwptId(index: number): number {
    return this.#hwpts[index] ?? 0xffff;
  }

  #targetId(step: { readonly ioas: number } | { readonly hwpt: number }): number {
    return 'ioas' in step ? this.#ioasId(step.ioas) : this.#hwptId(step.hwpt);
  }

  /** Issue a call and show its errno, or the out fields that matter. */
  #call<C extends Call>(call: C, values: Input<C['fields']>, out: readonly string[]): string {
    const answer = invoke(this.#rig.sys, this.#rig.iommufd.fd, call, values);
    const fields = answer.out as Readonly<Record<string, number | bigint>>;
    const shown = out.map((name) => ` ${name}=${hex(fields[name] ?? 0)}`).join('');
    return answer.result < 0 ? resultName(answer.result) : `0${shown}`;
  }

  #makeIoas(): string {
    const { result, out } = invoke(this.#rig.sys, this.#rig.iommufd.fd, uapi.IOMMU_IOAS_ALLOC, {});
    if (result < 0) return resultName(result);
    this.#ioas.push(out.out_ioas_id);
    this.#rig.mapWindow(out.out_ioas_id);
    return `0 id=${out.out_ioas_id}`;
  }

  #map(step: Extract<Step, { op: 'map' }>): string {
    const { region = 0, access = 'rw', extraFlags = 0, iova } = step;
    const base = region < 0 ? NOWHERE : this.#address(region);
    const fixed = iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
    const values = {
      flags: ACCESS[access] | fixed | extraFlags,
      ioas_id: this.#ioasId(step.ioas),
      user_va: base + bytes(step.at),
      length: bytes(step.length),
      iova: bytes(iova ?? 0),
    };
    return this.#call(uapi.IOMMU_IOAS_MAP, values, ['iova']);
  }

  #copy(step: Extract<Step, { op: 'copy' }>): string {
    const { access = 'rw', toIova } = step;
    const values = {
      flags: ACCESS[access] | (toIova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA),
      dst_ioas_id: this.#ioasId(step.to),
      src_ioas_id: this.#ioasId(step.from),
      length: bytes(step.length),
      dst_iova: bytes(toIova ?? 0),
      src_iova: bytes(step.iova),
    };
    return this.#call(uapi.IOMMU_IOAS_COPY, values, ['dst_iova']);
  }

  #ranges(ioas: number, room: number): string {
    const scratch = this.#rig.iommufd.scratch(PAGE);
    const values = { ioas_id: this.#ioasId(ioas), num_iovas: room, allowed_iovas: scratch.address };
    const { sys, iommufd } = this.#rig;
    const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_IOAS_IOVA_RANGES, values);
    if (result < 0) return `${resultName(result)} num_iovas=${out.num_iovas}`;
    const shown = Array.from({ length: out.num_iovas }, (_, i) => {
      const { start, last } = decode(uapi.IOMMU_IOVA_RANGE, scratch.bytes, i * 16);
      return ` ${start.toString(16)}..${last.toString(16)}`;
    });
    return `0 alignment=${out.out_iova_alignment}${shown.join('')}`;
  }

  #allow(ioas: number, ranges: readonly (readonly [number | string, number | string])[]): string {
    const scratch = this.#rig.iommufd.scratch(PAGE);
    for (const [i, [start, last]] of ranges.entries()) {
      encode(uapi.IOMMU_IOVA_RANGE, { start: bytes(start), last: bytes(last) }, scratch.bytes, i * 16);
    }
    const values = { ioas_id: this.#ioasId(ioas), num_iovas: ranges.length, allowed_iovas: scratch.address };
    return this.#call(uapi.IOMMU_IOAS_ALLOW_IOVAS, values, []);
  }

  #makeHwpt(step: Extract<Step, { op: 'hwpt' }>): string {
    const flags =
      (step.dirty === true ? uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
      (step.nestParent === true ? uapi.IOMMU_HWPT_ALLOC_NEST_PARENT : 0);
    const id = this.#rig.device.id;
    const values = { flags, dev_id: id < 0 ? 0xffff : id, pt_id: this.#ioasId(step.ioas) };
    const { sys, iommufd } = this.#rig;
    const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_HWPT_ALLOC, values);
    if (result < 0) return resultName(result);
    this.#hwpts.push(out.out_hwpt_id);
    return `0 id=${out.out_hwpt_id}`;
  }

  #attach(step: Extract<Step, { op: 'attach' }>): string {
    const id = this.#rig.device.attach(this.#targetId(step));
    if (id >= 0) this.#isAttached = true;
    return id < 0 ? resultName(id) : `0 hwpt=${id}`;
  }

  #option(option: number, object: number, on: boolean | undefined): string {
    const op = on === undefined ? uapi.IOMMU_OPTION_OP_GET : uapi.IOMMU_OPTION_OP_SET;
    const values = { option_id: option, op, object_id: object, val64: on === true ? 1n : 0n };
    return this.#call(uapi.IOMMU_OPTION, values, on === undefined ? ['val64'] : []);
  }

  #hwInfo(): string {
    const values = { dev_id: this.#rig.device.id < 0 ? 0xffff : this.#rig.device.id };
    return this.#call(uapi.IOMMU_GET_HW_INFO, values, ['out_data_type']);
  }

  #faultQueue(): string {
    const { result, out } = invoke(this.#rig.sys, this.#rig.iommufd.fd, uapi.IOMMU_FAULT_QUEUE_ALLOC, {});
    if (result < 0) return resultName(result);
    this.#rig.sys.close(out.out_fault_fd);
    this.#faultQueues.push(out.out_fault_id);
    return `0 id=${out.out_fault_id}`;
  }

  #readDirty(step: Extract<Step, { op: 'readDirty' }>): string {
    const scratch = this.#rig.iommufd.scratch(PAGE);
    scratch.bytes.fill(0);
    const values = {
      hwpt_id: this.#hwptId(step.hwpt),
      iova: bytes(step.iova),
      length: bytes(step.length),
      page_size: bytes(step.page),
      data: scratch.address,
    };
    const shown = this.#call(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, values, []);
    return shown === '0' ? `0 bitmap=${hex(scratch.read(0, 64))}` : shown;
  }

  #raw(step: Extract<Step, { op: 'raw' }>): string {
    const call = CALLS.find(({ name }) => name === step.call);
    const tail = step.tail?.bytes ?? 0;
    const structBytes = call === undefined ? 64 : sizeOf(call.fields);
    const argument = new Uint8Array(structBytes + tail);
    const values = Object.fromEntries(
      Object.entries(step.fields ?? {}).map(([name, value]) => [name, bytes(value)]),
    );
    if (call !== undefined) encode(call.fields, values, argument);
    argument.fill(step.tail?.value ?? 0, structBytes);
    new DataView(argument.buffer).setUint32(0, step.size ?? argument.length, true);
    const { sys, iommufd } = this.#rig;
    return resultName(sys.ioctl(iommufd.fd, call?.request ?? Number(step.call), argument));
  }

  #dmaWrite(step: Extract<Step, { op: 'dmaWrite' }>): string {
    // A device that cannot reach its own rings would hang.
    const engine = this.#isAttached ? this.#rig.device.engine() : null;
    if (engine === null) return 'no DMA';
    const data = new Uint8Array(step.length);
    fillPattern(data, step.seed);
    engine.write(bytes(step.iova), data);
    const changed = this.#known.changedPages();
    return changed.length === 0 ? 'nothing arrived' : `arrived in ${changed.join(' ')}`;
  }

  #dmaRead(step: Extract<Step, { op: 'dmaRead' }>): string {
    const engine = this.#isAttached ? this.#rig.device.engine() : null;
    return engine === null ? 'no DMA' : this.#pages(engine.read(bytes(step.iova), step.length));
  }

  #address(region: number): bigint {
    if (region === 0) return this.#rig.arena.address;
    // A shrunk program may have lost the step that made it.
    return this.#regions[region]?.address ?? NOWHERE;
  }

  #memory(region: number | undefined, at: number, length: number): Uint8Array {
    const all = region === undefined || region === 0 ? this.#rig.arena.bytes : this.#regions[region]!.bytes;
    return all.subarray(at, at + length);
  }

  #fill(step: Extract<Step, { op: 'fill' }>): string {
    const memory = this.#memory(step.region, step.at, step.length);
    fillPattern(memory, step.seed);
    if (step.region === undefined || step.region === 0) this.#known.learn(step.at, step.length);
    return '0';
  }

  /** Digest of every page of a piece of memory. */
  #pages(data: Uint8Array): string {
    const out: string[] = [];
    for (let at = 0; at < data.length; at += PAGE) out.push(digest(data.subarray(at, at + PAGE)));
    return out.join(' ');
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
