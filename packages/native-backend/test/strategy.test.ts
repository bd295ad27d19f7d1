import { describe, expect, test } from 'vitest';
import { strategyContract } from '../src/contract/strategy-contract.ts';
import { SimSys } from '../src/sim/sim-sys.ts';

describe.each(['vtd', 'amd', 'mock'] as const)('mapping strategies over an IOAS of %s', (driver) => {
  const device = driver === 'mock' ? 'mock' : 'nvme';
  test.each(strategyContract(() => new SimSys({ driver, kernel: '7.3' }), device, { mostFolios: 64 }))(
    '$name',
    ({ run }) => expect(run).not.toThrow(),
  );
});
