import { type BuiltKernel, findKernel, type KernelVersion } from '../src/kernel-build.ts';

/** A kernel that the set-up has built. */
export async function kernel(version: KernelVersion): Promise<BuiltKernel> {
  const found = await findKernel(version);
  if (found === null) throw new Error(`kernel ${version} is not in the cache; vm/setup.ts builds it`);
  return found;
}
