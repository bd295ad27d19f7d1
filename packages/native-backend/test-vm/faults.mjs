import { spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { faultContract, memlockContract } from '../dist/contract/index.js';
import { bindToVfio, findPci, Iommufd, NVME_DEVICE, NVME_VENDOR } from '../dist/index.js';
import { runChecks } from './run-checks.mjs';

const USER = 1000;
const LIMIT = 8 << 20; // RLIMIT_MEMLOCK by default

/** Kill an ordinary user's process that maps, at three different times. */
async function killInMidMap(nvme) {
  const child = fileURLToPath(new URL('killed-child.mjs', import.meta.url));
  for (const ms of [20, 170, 400]) {
    const running = spawn(process.execPath, [child, nvme, String(USER)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => running.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, ms));
    const ended = new Promise((resolve) => running.once('exit', (_code, signal) => resolve(signal)));
    running.kill('SIGKILL');
    if ((await ended) !== 'SIGKILL') throw new Error('the child ended by itself');
  }
}

/** Let an ordinary user open iommufd and the devices that vfio-pci has. */
function openToUsers(sys) {
  chmodSync('/dev/iommu', 0o666);
  for (const name of sys.list('/dev/vfio/devices')) chmodSync(`/dev/vfio/devices/${name}`, 0o666);
}

/** Whether a process without capabilities may change how memory is accounted. */
function accountingIsRefused(sys) {
  const iommufd = Iommufd.open(sys);
  let code = '';
  try {
    iommufd.accountsByProcess = true;
  } catch (error) {
    code = error.code;
  }
  iommufd[Symbol.dispose]();
  if (code !== 'EPERM') throw new Error(`got '${code}', expected 'EPERM'`);
}

/**
 * What goes wrong around mappings: memory that goes, devices reset or closed in flight, a process killed while it maps, the
 * memlock limit at every map. Nothing leaks and the next run works. Root pins without limit: the process becomes an
 * ordinary user on the way.
 */
export async function faults({ sys }) {
  const makeSys = () => sys;
  const [nvme] = findPci(sys, NVME_VENDOR, NVME_DEVICE);
  const asRoot = runChecks(faultContract(makeSys));
  bindToVfio(sys, nvme);
  openToUsers(sys);
  await killInMidMap(nvme);
  process.setgid(USER);
  process.setuid(USER);
  const asUser = runChecks([
    { name: 'accounting by process needs CAP_SYS_RESOURCE', run: () => accountingIsRefused(sys) },
    // They need the whole limit: what a killed process had pinned must be free again.
    ...memlockContract(makeSys, LIMIT),
  ]);
  return { passed: asRoot.passed + asUser.passed, failures: [...asRoot.failures, ...asUser.failures] };
}
