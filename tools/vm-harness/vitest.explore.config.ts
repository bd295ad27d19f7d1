import { defineConfig } from 'vitest/config';
import vmConfig from './vitest.vm.config.ts';

/** Comparisons with the kernel that are run by hand: `pnpm explore:vm`. */
export default defineConfig({ ...vmConfig, test: { ...vmConfig.test, include: ['vm/**/*.explore.ts'] } });
