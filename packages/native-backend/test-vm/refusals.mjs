// What the kernel refuses before anything is mapped, in a guest: calls before a bind, a bind without interrupt
// remapping, vfio-pci without an IOMMU.
//   node refusals.mjs bound|no-remapping|no-iommu|shared-group
import {
  bindToVfio,
  findPci,
  invoke,
  Iommufd,
  KernelError,
  linuxSys,
  NVME_DEVICE,
  NVME_VENDOR,
  resultName,
  VFIO_DEVICE_GET_INFO,
  VfioDevice,
} from '../dist/index.js';
import { report } from './report.mjs';

const [machine] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
const { sys } = found;
const [nvme] = findPci(sys, NVME_VENDOR, NVME_DEVICE);

/** The code of the KernelError that a function throws. */
function codeOf(fn) {
  try {
    fn();
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
  return '0';
}

function expectCode(what, got, wanted) {
  if (got !== wanted) throw new Error(`${what}: got ${got}, expected ${wanted}`);
}

const CHECKS = {
  bound: [
    {
      name: 'calls of a device before its bind are EINVAL, a second bind too',
      run: () => {
        bindToVfio(sys, nvme);
        const [cdev] = sys.list(`/sys/bus/pci/devices/${nvme}/vfio-dev`);
        const fd = sys.open(`/dev/vfio/devices/${cdev}`);
        expectCode('GET_INFO', resultName(invoke(sys, fd, VFIO_DEVICE_GET_INFO, {}).result), 'EINVAL');
        const iommufd = Iommufd.open(sys);
        VfioDevice.open(iommufd, nvme);
        expectCode(
          'second bind',
          codeOf(() => VfioDevice.open(iommufd, nvme)),
          'EINVAL',
        );
        iommufd[Symbol.dispose]();
        sys.close(fd);
      },
    },
  ],
  'no-remapping': [
    {
      name: 'a bind without interrupt remapping is EPERM',
      run: () => {
        bindToVfio(sys, nvme);
        const iommufd = Iommufd.open(sys);
        expectCode(
          'bind',
          codeOf(() => VfioDevice.open(iommufd, nvme)),
          'EPERM',
        );
        iommufd[Symbol.dispose]();
      },
    },
  ],
  'shared-group': [
    {
      name: 'a bind while another function of the group has a kernel driver is EPERM',
      run: () => {
        const shared = '0000:00:09.1';
        bindToVfio(sys, shared);
        const iommufd = Iommufd.open(sys);
        expectCode(
          'bind',
          codeOf(() => VfioDevice.open(iommufd, shared)),
          'EPERM',
        );
        iommufd[Symbol.dispose]();
      },
    },
  ],
  'no-iommu': [
    {
      name: 'without an IOMMU vfio-pci takes no device, although the write to sysfs succeeds',
      run: () =>
        expectCode(
          'bind',
          codeOf(() => bindToVfio(sys, nvme)),
          'ENODEV',
        ),
    },
  ],
};

report(CHECKS[machine]);
