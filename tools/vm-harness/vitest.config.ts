import { defineConfig } from 'vitest/config';
// @boundaries-ignore the one configuration that every package shares
import { sharedConfig } from '../../vitest.shared.ts';

export default defineConfig(sharedConfig);
