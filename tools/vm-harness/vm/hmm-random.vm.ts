import type { Feature } from '@gpusvm/lab/scenario';
import { describe, expect, test } from 'vitest';
import type { KernelVersion } from '../src/kernel-build.ts';
import { compareRandomScenarios } from '../src/hmm/random-scenarios.ts';
import { kernel } from './kernels.ts';

const VERSIONS: readonly KernelVersion[] = ['6.12', '7.3'];
/** Scenarios of each kind; GPUSVM_VM_SCENARIOS tries more or fewer. */
const SCENARIOS = Number(process.env['GPUSVM_VM_SCENARIOS'] ?? 500);
/** GPUSVM_VM_SEED explores other scenarios than the recorded ones. */
const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);
/** Far enough that neighbouring seeds have no scenario in common. */
const STRIDE = 10_000;

describe.each(VERSIONS)('Linux %s', (version) => {
  test.each<[string, readonly Feature[]]>([
    ['private devices, huge pages and swap', ['thp', 'swap']],
    ['private and coherent devices and swap', ['coherent', 'swap']],
  ])(
    `${SCENARIOS} random scenarios with %s come out in the kernel as in the model`,
    async (_what, features) => {
      const difference = await compareRandomScenarios({
        kernel: await kernel(version),
        features,
        seed: SEED * STRIDE,
        count: SCENARIOS,
        onUnrepeated: (text) => process.stderr.write(`differed once:\n${text}\n`),
      });
      expect(difference).toBeNull();
    },
  );
});
