import { defineConfig } from 'vitest/config';
// @boundaries-ignore the one configuration that every package shares
import { sharedConfig } from '../../vitest.shared.ts';

/** The suite that needs QEMU and the guest kernels; `vm/setup.ts` installs and builds what is missing. */
export default defineConfig({
  ...sharedConfig,
  test: {
    ...sharedConfig.test,
    include: ['vm/**/*.vm.ts'],
    globalSetup: ['vm/setup.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // One guest at a time: two emulated CPUs on two cores would only wait for each other.
    fileParallelism: false,
    outputFile: { json: '.vitest/vm-results.json' },
  },
});
