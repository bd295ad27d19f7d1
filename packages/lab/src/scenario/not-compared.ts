import type { DeviceOp, ProcessOp } from './ast.ts';

/** A kind of step that random scenarios leave out, and why: the model does not claim to decide what comes of it. */
export interface NotCompared {
  readonly what: string;
  readonly why: string;
  /** @param shared - whether the buffer of the step was ever mapped shared. */
  readonly applies: (step: ProcessOp | DeviceOp, shared: boolean) => boolean;
}

/** Everything that the generator leaves out. tools/vm-harness/README.md lists it for readers. */
export const NOT_COMPARED: readonly NotCompared[] = [
  {
    what: 'MADV_COLLAPSE of shared memory',
    why: 'page caches of the model have no huge pages, which a collapse of shmem makes (collapse_file)',
    applies: (step, shared) => step.op === 'madvise' && step.advice === 'collapse' && shared,
  },
];
