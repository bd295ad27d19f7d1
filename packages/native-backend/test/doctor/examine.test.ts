import { describe, expect, test } from 'vitest';
import { bindToVfio } from '../../src/bind-to-vfio.ts';
import { examine } from '../../src/doctor/examine.ts';
import type { DoctorCheck, DoctorDevice } from '../../src/doctor/report.ts';
import { SimEdu } from '../../src/sim/sim-edu.ts';
import { SimNvme } from '../../src/sim/sim-nvme.ts';
import { SimSys, type SimSysOptions } from '../../src/sim/sim-sys.ts';

const GOOD: Readonly<Record<string, string>> = {
  '/proc/sys/kernel/osrelease': '7.3.4-amd64\n',
  '/boot/config-7.3.4-amd64':
    'CONFIG_IOMMUFD=m\nCONFIG_VFIO_DEVICE_CDEV=y\nCONFIG_VFIO_PCI=m\nCONFIG_IRQ_REMAP=y\nCONFIG_INTEL_IOMMU=y\n',
  '/sys/class/iommu/dmar0/name': 'dmar0',
  '/proc/interrupts': '  24:  0  IR-PCI-MSI-0000:00:1f.2  0-edge  ahci\n',
  '/proc/self/limits': 'Max locked memory         unlimited            unlimited            bytes\n',
  '/sys/kernel/mm/transparent_hugepage/enabled': 'always [madvise] never\n',
};
const ADDON = { available: true } as const;
const EDU = '0000:00:04.0';
const NVME = '0000:00:05.0';

function withFiles(files: Readonly<Record<string, string>>, o: SimSysOptions = {}): SimSys {
  return new SimSys({ files: { ...GOOD, ...files }, ...o });
}

function checkOf(sys: SimSys, id: string): DoctorCheck {
  return examine({ files: sys, addon: ADDON }).checks.find((c) => c.id === id)!;
}

function deviceOf(sys: SimSys, bdf: string): DoctorDevice {
  return examine({ files: sys, addon: ADDON, bdf }).devices[0]!;
}

describe('the doctor', () => {
  test('finds nothing wrong on a machine with a device that vfio-pci has', () => {
    const sys = withFiles({});
    bindToVfio(sys, EDU);
    const report = examine({ files: sys, addon: ADDON });
    expect(report.checks.map(({ status }) => status)).toEqual(report.checks.map(() => 'ok'));
    expect(report.checks.map(({ id }) => id)).toEqual([
      'addon',
      'kernel',
      'options',
      'iommu',
      'interrupts',
      'iommufd',
      'memlock',
      'hugepages',
    ]);
    expect(report.devices.map(({ bdf, verdict }) => [bdf, verdict])).toEqual([
      [EDU, 'ready'],
      [NVME, 'bind'],
    ]);
    expect(report.ready).toBe(true);
  });

  test.each([
    ['kernel', { '/proc/sys/kernel/osrelease': '6.1.0-40-amd64' }, 'missing', 'boot Linux 6.6 or newer'],
    ['options', { '/boot/config-7.3.4-amd64': 'CONFIG_VFIO_PCI=m\n' }, 'missing', 'boot a kernel with these'],
    ['interrupts', { '/proc/interrupts': '24: PCI-MSI' }, 'missing', 'allow_unsafe_interrupts=1'],
    [
      'memlock',
      { '/proc/self/limits': 'Max locked memory         8388608              8388608              bytes' },
      'limit',
      'ulimit -l',
    ],
    [
      'hugepages',
      { '/sys/kernel/mm/transparent_hugepage/enabled': 'always madvise [never]' },
      'limit',
      'echo madvise',
    ],
  ] as const)('%s: says what is missing and how to mend it', (id, files, status, mend) => {
    const found = checkOf(withFiles(files), id);
    expect(found.status).toBe(status);
    expect(found.mend).toContain(mend);
  });

  test('names the options that are not set', () => {
    const sys = withFiles({ '/boot/config-7.3.4-amd64': 'CONFIG_VFIO_PCI=m\n# CONFIG_IOMMUFD is not set\n' });
    expect(checkOf(sys, 'options').found).toBe(
      'not set: CONFIG_IOMMUFD, CONFIG_VFIO_DEVICE_CDEV, CONFIG_IRQ_REMAP, CONFIG_INTEL_IOMMU or AMD_IOMMU or ARM_SMMU_V3 or VIRTIO_IOMMU',
    );
  });

  test('accepts interrupts that are not remapped when iommufd was told to', () => {
    const sys = withFiles({
      '/proc/interrupts': '24: PCI-MSI',
      '/sys/module/iommufd/parameters/allow_unsafe_interrupts': 'Y\n',
    });
    expect(checkOf(sys, 'interrupts').status).toBe('ok');
  });

  test('says that there is no IOMMU, and that nothing can be had then', () => {
    const sys = withFiles({}, { driver: 'mock' });
    expect(checkOf(sys, 'iommu').status).toBe('missing');
    expect(deviceOf(sys, EDU)).toMatchObject({ verdict: 'blocked', why: 'it is behind no IOMMU' });
    expect(examine({ files: sys, addon: ADDON }).ready).toBe(false);
  });

  test('what cannot be read is unknown, not missing', () => {
    const sys = new SimSys();
    const statuses = examine({ files: sys, addon: ADDON }).checks.map(({ id, status }) => `${id} ${status}`);
    expect(statuses).toEqual([
      'addon ok',
      'kernel unknown',
      'options unknown',
      'iommu ok',
      'interrupts unknown',
      'iommufd ok',
      'memlock unknown',
      'hugepages limit',
    ]);
  });

  test('a missing addon is said with its reason', () => {
    const addon = {
      available: false,
      message: 'there is no prebuilt addon for linux-riscv64: build it',
    } as const;
    const [check] = examine({ files: withFiles({}), addon }).checks;
    expect(check).toEqual({
      id: 'addon',
      status: 'missing',
      found: 'there is no prebuilt addon for linux-riscv64',
      mend: 'build it',
    });
  });
});

describe('the doctor about a device', () => {
  const nvme = { bdf: NVME, model: new SimNvme(), kernelDriver: 'nvme' };

  test('gives the commands that hand it over', () => {
    expect(deviceOf(withFiles({}), EDU).commands).toEqual([
      `echo vfio-pci > /sys/bus/pci/devices/${EDU}/driver_override`,
      `echo ${EDU} > /sys/bus/pci/drivers_probe`,
    ]);
    expect(deviceOf(withFiles({}, { functions: [nvme] }), NVME)).toMatchObject({
      verdict: 'bind',
      ids: '1b36:0010',
      driver: 'nvme',
      commands: [
        `echo vfio-pci > /sys/bus/pci/devices/${NVME}/driver_override`,
        `echo ${NVME} > /sys/bus/pci/devices/${NVME}/driver/unbind`,
        `echo ${NVME} > /sys/bus/pci/drivers_probe`,
      ],
    });
  });

  test.each([
    [
      'a mounted disk',
      {
        '/proc/mounts': '/dev/nvme0n1p1 /home ext4 rw 0 0\n',
        '/sys/class/block/nvme0n1p1': `../../devices/pci0000:00/${NVME}/nvme/nvme0/nvme0n1/nvme0n1p1`,
      },
      '/home is mounted from it',
    ],
    [
      'a disk below device mapper',
      {
        '/proc/mounts': '/dev/mapper/root / ext4 rw 0 0\n',
        '/dev/mapper/root': '../dm-0',
        '/sys/class/block/dm-0': '../../devices/virtual/block/dm-0',
        '/sys/class/block/dm-0/slaves/nvme0n1p2': '',
        '/sys/class/block/nvme0n1p2': `../../devices/pci0000:00/${NVME}/nvme/nvme0/nvme0n1/nvme0n1p2`,
      },
      '/ is mounted from it',
    ],
    [
      'swap',
      {
        '/proc/swaps': 'Filename Type Size\n/dev/nvme0n1p3 partition 1 0 -2\n',
        '/sys/class/block/nvme0n1p3': `../../devices/pci0000:00/${NVME}/nvme/nvme0/nvme0n1/nvme0n1p3`,
      },
      'on it is swap',
    ],
    [
      'a network interface that is up',
      { [`/sys/bus/pci/devices/${NVME}/net/eth0/operstate`]: 'up\n' },
      'network interface eth0 is in use',
    ],
    [
      'the GPU of the console',
      { [`/sys/bus/pci/devices/${NVME}/boot_vga`]: '1\n' },
      'the GPU that the machine booted with',
    ],
  ] as const)('refuses %s', (_what, files, why) => {
    const device = deviceOf(withFiles(files, { functions: [nvme] }), NVME);
    expect(device).toMatchObject({ verdict: 'refused', commands: [] });
    expect(device.why).toContain(why);
  });

  test('refuses it when another function of its group is in use, and frees those that are not', () => {
    const functions = [
      { bdf: EDU, model: new SimEdu(), iommuGroup: 1 },
      { ...nvme, iommuGroup: 1 },
    ];
    const used = withFiles({ [`/sys/bus/pci/devices/${NVME}/boot_vga`]: '1' }, { functions });
    expect(deviceOf(used, EDU)).toMatchObject({ verdict: 'refused' });
    const free = withFiles({}, { functions });
    expect(deviceOf(free, EDU).commands[0]).toBe(`echo ${NVME} > /sys/bus/pci/devices/${NVME}/driver/unbind`);
    bindToVfio(free, EDU);
    expect(deviceOf(free, EDU)).toMatchObject({
      verdict: 'bind',
      why: `${NVME} of the same IOMMU group have kernel drivers`,
    });
  });

  test('that does not exist is a RangeError with the address', () => {
    const sys = withFiles({});
    expect(() => examine({ files: sys, addon: ADDON, bdf: '0000:09:00.0' })).toThrow(
      "no PCI device '0000:09:00.0'",
    );
  });
});
