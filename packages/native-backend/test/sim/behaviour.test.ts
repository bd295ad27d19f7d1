import { describe, expect, test } from 'vitest';
import { behaviourContract } from '../../src/contract/behaviour-contract.ts';
import type { Platform } from '../../src/contract/row.ts';
import { SimSys } from '../../src/sim/sim-sys.ts';

const DRIVERS = ['vtd', 'amd', 'mock'] as const;
const KERNELS = ['6.12', '7.3'] as const;
const PLATFORMS: readonly Platform[] = DRIVERS.flatMap((driver) =>
  KERNELS.map((kernel) => ({ driver, kernel })),
);

describe.each(PLATFORMS)('SimSys as $driver on Linux $kernel', (platform) => {
  const device = platform.driver === 'mock' ? 'mock' : 'nvme';
  const rows = behaviourContract(() => new SimSys(platform), platform, device);
  test.each(rows)('$name', ({ run }) => expect(run).not.toThrow());
});

describe('with edu as the DMA engine', () => {
  const platform: Platform = { driver: 'vtd', kernel: '6.12' };
  test.each(behaviourContract(() => new SimSys(platform), platform, 'edu'))('$name', ({ run }) =>
    expect(run).not.toThrow(),
  );
});
