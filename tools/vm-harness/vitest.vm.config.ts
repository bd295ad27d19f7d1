import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
// @boundaries-ignore the one configuration that every package shares
import { sharedConfig } from '../../vitest.shared.ts';
import { LongestFirst } from './vm/longest-first.ts';

/** The suite that needs QEMU and the guest kernels; `vm/setup.ts` installs and builds what is missing. */
export default defineConfig({
  ...sharedConfig,
  test: {
    ...sharedConfig.test,
    include: ['vm/**/*.vm.ts'],
    globalSetup: ['vm/setup.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Files share nothing but what they import: a worker imports it once.
    isolate: false,
    // A guest has one processor and waits often (resets, timers): one more guest than this machine has processors.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    outputFile: { json: '.vitest/vm-results.json' },
  },
});
