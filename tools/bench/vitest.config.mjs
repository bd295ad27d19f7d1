import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.mjs'],
    reporters: process.env.GPUSVM_TEST_REPORT ? ['default', 'json'] : ['default'],
    outputFile: { json: '.vitest/results.json' },
  },
});
