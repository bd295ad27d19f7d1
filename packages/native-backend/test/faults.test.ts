import { describe, expect, test } from 'vitest';
import { faultContract, memlockContract } from '../src/contract/fault-contract.ts';
import { SimSys } from '../src/sim/sim-sys.ts';

const LIMIT = 8 * 2 ** 20;

describe('faults on SimSys', () => {
  test.each(faultContract(() => new SimSys()))('$name', ({ run }) => expect(run).not.toThrow());
  test.each(memlockContract(() => new SimSys({ memlockBytes: LIMIT }), LIMIT))('$name', ({ run }) =>
    expect(run).not.toThrow(),
  );
});
