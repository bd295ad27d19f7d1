import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCommand } from '../src/run-command.ts';
import { kernel } from './kernels.ts';

const PACKAGE = fileURLToPath(new URL('../../../packages/native-backend', import.meta.url));

test.each(['6.12', '7.3'] as const)(
  'the tables of native-backend are the headers of Linux %s',
  async (version) => {
    const { headers } = await kernel(version);
    const env = { ...process.env, GPUSVM_UAPI_INCLUDE: headers, NO_COLOR: '1' };
    const probe = ['vitest', 'run', 'test/uapi/c-probe.test.ts'];
    const output = await runCommand('npx', probe, { cwd: PACKAGE, env });
    expect(output).toMatch(/Tests +[1-9]\d* passed \(/);
  },
);
