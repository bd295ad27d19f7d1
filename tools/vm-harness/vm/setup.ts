import { installPackages } from '../src/apt.ts';
import { buildKernel, KERNEL_VERSIONS } from '../src/kernel-build.ts';
import { buildOracle } from '../src/oracle/build-oracle.ts';

/** Before the suite: packages, both kernels, the oracle module. All of it comes from the cache the second time. */
export default async function setup(): Promise<void> {
  await installPackages();
  for (const version of KERNEL_VERSIONS) {
    const kernel = await buildKernel(version, (line) => console.log(line));
    if (version === '7.3') await buildOracle(kernel);
  }
}
