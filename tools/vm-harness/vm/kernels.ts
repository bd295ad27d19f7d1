import { inject } from 'vitest';
import type { BuiltKernel, KernelVersion } from '../src/kernel-build.ts';

/** A kernel that the set-up has built. */
export async function kernel(version: KernelVersion): Promise<BuiltKernel> {
  return inject('kernels')[version];
}
