// What goes wrong around mappings, on the real kernel in a guest: memory that goes, devices reset or closed in flight, the
// memlock limit at every map, a process killed while it maps. Nothing leaks and the next run works.
//   node faults.mjs
import { spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { faultContract, memlockContract } from '../dist/contract/index.js';
import { bindToVfio, findPci, Iommufd, linuxSys, NVME_DEVICE, NVME_VENDOR } from '../dist/index.js';
import { report } from './report.mjs';

const USER = 1000;
const LIMIT = 8 << 20; // RLIMIT_MEMLOCK by default

const found = linuxSys();
if (!found.available) throw new Error(found.message);
const { sys } = found;
const makeSys = () => sys;
const [nvme] = findPci(sys, NVME_VENDOR, NVME_DEVICE);

/** Kill a process that maps, at three different times. */
async function killInMidMap() {
  const child = fileURLToPath(new URL('killed-child.mjs', import.meta.url));
  for (const ms of [20, 170, 400]) {
    const running = spawn(process.execPath, [child, nvme], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => running.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, ms));
    const ended = new Promise((resolve) => running.once('exit', (_code, signal) => resolve(signal)));
    running.kill('SIGKILL');
    if ((await ended) !== 'SIGKILL') throw new Error('the child ended by itself');
  }
}

const rootChecks = faultContract(makeSys);
bindToVfio(sys, nvme);
chmodSync('/dev/iommu', 0o666);
for (const name of sys.list('/dev/vfio/devices')) chmodSync(`/dev/vfio/devices/${name}`, 0o666);

// Root pins without limit, so what follows needs an ordinary user; first the checks that need root for binding.
const rootErrors = new Map();
for (const { name, run } of rootChecks) {
  try {
    run();
  } catch (error) {
    rootErrors.set(name, error);
  }
}
for (const name of sys.list('/dev/vfio/devices')) chmodSync(`/dev/vfio/devices/${name}`, 0o666);
process.setgid(USER);
process.setuid(USER);
await killInMidMap();
report([
  ...rootChecks.map(({ name }) => ({
    name,
    run: () => {
      if (rootErrors.has(name)) throw rootErrors.get(name);
    },
  })),
  {
    name: 'accounting by process needs CAP_SYS_RESOURCE',
    run: () => {
      const iommufd = Iommufd.open(sys);
      let code = '';
      try {
        iommufd.accountsByProcess = true;
      } catch (error) {
        code = error.code;
      }
      iommufd[Symbol.dispose]();
      if (code !== 'EPERM') throw new Error(`got '${code}', expected 'EPERM'`);
    },
  },
  // They need the whole limit: what a killed process had pinned must be free again.
  ...memlockContract(makeSys, LIMIT),
]);
