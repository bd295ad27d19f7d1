import type { TestProject } from 'vitest/node';
import { installPackages } from '../src/apt.ts';
import { pruneCache } from '../src/cache-age.ts';
import { type BuiltKernel, buildKernel, KERNEL_VERSIONS, type KernelVersion } from '../src/kernel-build.ts';
import { buildOracle } from '../src/oracle/build-oracle.ts';

declare module 'vitest' {
  interface ProvidedContext {
    kernels: Readonly<Record<KernelVersion, BuiltKernel>>;
  }
}

/**
 * Before the suite: packages, both kernels, the oracle module. All of it comes from the cache the second time. The tests get
 * the kernels from here: asking apt for a version takes longer than a guest takes to start.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await installPackages();
  const kernels: Partial<Record<KernelVersion, BuiltKernel>> = {};
  for (const version of KERNEL_VERSIONS) {
    const kernel = await buildKernel(version, (line) => console.log(line));
    if (version === '7.3') await buildOracle(kernel);
    kernels[version] = kernel;
  }
  project.provide('kernels', kernels as Record<KernelVersion, BuiltKernel>);
  // Afterwards: what this run needed is the newest then.
  return async () => {
    for (const path of await pruneCache())
      console.log(`deleted ${path}, which nothing had used for two weeks`);
  };
}
