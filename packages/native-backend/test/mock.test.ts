import { describe, expect, test } from 'vitest';
import { mockContract } from '../src/contract/mock-contract.ts';
import { SimSys } from '../src/sim/sim-sys.ts';
import { attached } from './sim-device.ts';

describe.each(['6.12', '7.3'] as const)('the mock device on SimSys, Linux %s', (kernel) => {
  const checks = mockContract(() => new SimSys({ driver: 'mock', kernel }), kernel);
  test.each(checks)('$name', ({ run }) => expect(run).not.toThrow());
});

describe('the mock device', () => {
  test('a page table without dirty tracking has no record', () => {
    using t = attached({ driver: 'mock' });
    expect(() => t.ioas.allocHwpt({ id: t.mock.deviceId }).dirty).toThrow('without dirtyTracking');
  });

  test('a queue without requests times out, and a cookie that is not open is refused', async () => {
    using t = attached({ driver: 'mock' });
    const queue = t.iommufd.allocFaultQueue();
    expect([queue.read(), await queue.wait(1)]).toEqual([[], false]);
    expect(() => queue.respond(3, true)).toThrow('EINVAL');
  });
});
