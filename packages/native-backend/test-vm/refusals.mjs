import {
  bindToVfio,
  findPci,
  invoke,
  Iommufd,
  KernelError,
  NVME_DEVICE,
  NVME_VENDOR,
  resultName,
  VFIO_DEVICE_GET_INFO,
  VfioDevice,
} from '../dist/index.js';
import { runChecks } from './run-checks.mjs';

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
      run: (sys, nvme) => {
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
      run: (sys, nvme) => {
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
  'no-iommu': [
    {
      name: 'without an IOMMU vfio-pci takes no device, although the write to sysfs succeeds',
      run: (sys, nvme) =>
        expectCode(
          'bind',
          codeOf(() => bindToVfio(sys, nvme)),
          'ENODEV',
        ),
    },
  ],
};

/**
 * What the kernel refuses before anything is mapped: calls before a bind, a bind without interrupt remapping, vfio-pci
 * without an IOMMU.
 *
 * @param machine - `bound` (any IOMMU), `no-remapping` (VT-d without it) or `no-iommu`.
 */
export function refusals({ sys }, machine) {
  const [nvme] = findPci(sys, NVME_VENDOR, NVME_DEVICE);
  return runChecks(CHECKS[machine].map(({ name, run }) => ({ name, run: () => run(sys, nvme) })));
}
