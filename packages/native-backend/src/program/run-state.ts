import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import type { Call } from '../uapi/call.ts';
import { IOMMU_DESTROY } from '../uapi/iommufd.ts';
import type { Input } from '../uapi/layout.ts';
import type { KnownArena } from './known-arena.ts';
import type { Step } from './program.ts';
import type { AlignedMemory, Rig } from './rig.ts';

/** An id that no object has. */
export const NO_ID = 0xffff;
/** An address where nothing is mapped. */
const NOWHERE = 0x1000n;

/** @internal What each kind of step does: it returns what the transcript shows behind the step's name. */
export type StepTable<Op extends Step['op']> = {
  readonly [K in Op]: (run: RunState, step: Extract<Step, { readonly op: K }>) => string;
};

/** @internal The state of a running program: what its numbers stand for. A shrunk program may have lost what made them. */
export class RunState {
  readonly rig: Rig;
  readonly known: KnownArena;
  readonly ioas: number[] = [];
  readonly hwpts: number[] = [];
  readonly faultQueues: number[] = [];
  /** Descriptors of files in memory. */
  readonly files: number[] = [];
  /** Region 0 is the arena. */
  readonly regions: (AlignedMemory | null)[] = [null];
  isAttached = false;

  constructor(rig: Rig, known: KnownArena) {
    this.rig = rig;
    this.known = known;
  }

  /** Destroy what the program made; what it destroyed itself is gone already. */
  cleanUp(): void {
    const { sys, iommufd, device } = this.rig;
    device.detach();
    for (const id of [...this.hwpts, ...this.faultQueues, ...this.ioas])
      invoke(sys, iommufd.fd, IOMMU_DESTROY, { id });
    for (const region of this.regions) region?.memory.unmap();
    for (const fd of this.files) sys.close(fd);
  }

  ioasId(index: number): number {
    return this.ioas[index] ?? NO_ID;
  }

  hwptId(index: number): number {
    return this.hwpts[index] ?? NO_ID;
  }

  targetId(target: { readonly ioas: number } | { readonly hwpt: number }): number {
    return 'ioas' in target ? this.ioasId(target.ioas) : this.hwptId(target.hwpt);
  }

  get deviceId(): number {
    return this.rig.device.id < 0 ? NO_ID : this.rig.device.id;
  }

  /** Address of a region of memory; -1 is memory that is not there. */
  address(region: number): bigint {
    if (region === 0) return this.rig.arena.address;
    return this.regions[region]?.address ?? NOWHERE;
  }

  memory(region: number | undefined, at: number, length: number): Uint8Array {
    const all = region === undefined || region === 0 ? this.rig.arena.bytes : this.regions[region]!.bytes;
    return all.subarray(at, at + length);
  }

  /** Issue a call and show its errno, or the out fields that matter. */
  call<C extends Call>(call: C, values: Input<C['fields']>, out: readonly string[] = []): string {
    const answer = invoke(this.rig.sys, this.rig.iommufd.fd, call, values);
    const fields = answer.out as Readonly<Record<string, number | bigint>>;
    const shown = out.map((name) => ` ${name}=${hex(fields[name] ?? 0)}`).join('');
    return answer.result < 0 ? resultName(answer.result) : `0${shown}`;
  }
}

/** @internal */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
