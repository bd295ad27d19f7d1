import { type BuiltKernel, findKernel, type KernelVersion } from '../src/kernel-build.ts';

/** Asking apt for the version takes longer than a guest takes to start. */
const found = new Map<KernelVersion, Promise<BuiltKernel | null>>();

/** A kernel that the set-up has built. */
export async function kernel(version: KernelVersion): Promise<BuiltKernel> {
  const search = found.get(version) ?? findKernel(version);
  found.set(version, search);
  const built = await search;
  if (built === null) throw new Error(`kernel ${version} is not in the cache; vm/setup.ts builds it`);
  return built;
}
