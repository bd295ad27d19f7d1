import type { ViteUserConfig } from 'vitest/config';

/** Makes a workspace import such as `@gpusvm/kernel` read that package's sources instead of its `dist`. */
const conditions = ['@gpusvm/source'];

/** The vitest configuration of every package: sources are read in place, so no build has to come first. */
export const sharedConfig: ViteUserConfig = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // A slow machine is no failure: only a hang is.
    testTimeout: 120_000,
    include: ['test/**/*.test.ts'],
    environment: 'node',
    // Two workers: `npm test` runs the packages beside one another already.
    maxWorkers: 2,
    setupFiles: process.env['CI'] ? [new URL('tools/fixed-seed.ts', import.meta.url).pathname] : [],
    reporters: process.env['GPUSVM_TEST_REPORT'] ? ['default', 'json'] : ['default'],
    outputFile: { json: '.vitest/results.json' },
  },
};
