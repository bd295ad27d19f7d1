import { EACCES, EPERM } from '@gpusvm/kernel';
import type { SysFiles } from '../sys.ts';
import type { DoctorCheck } from './report.ts';

/** Kernel that has character devices for VFIO. */
const FIRST_VERSION = [6, 6] as const;
const OPTIONS = ['IOMMUFD', 'VFIO_DEVICE_CDEV', 'VFIO_PCI', 'IRQ_REMAP'] as const;
const IOMMU_OPTIONS = ['INTEL_IOMMU', 'AMD_IOMMU', 'ARM_SMMU_V3', 'VIRTIO_IOMMU'] as const;
/** Below this an ordinary test maps nothing useful. */
const ENOUGH_MEMLOCK = 64 * 2 ** 20;

/** What the machine as a whole has to offer, in the order in which one mends it. */
export function systemChecks(sys: SysFiles): DoctorCheck[] {
  const release = textOf(sys, '/proc/sys/kernel/osrelease');
  return [
    kernel(release),
    options(textOf(sys, `/boot/config-${release ?? ''}`), release),
    iommu(sys),
    interrupts(sys),
    iommufd(sys),
    memlock(textOf(sys, '/proc/self/limits')),
    hugePages(textOf(sys, '/sys/kernel/mm/transparent_hugepage/enabled')),
  ];
}

function textOf(sys: SysFiles, path: string): string | null {
  const text = sys.readText(path);
  return typeof text === 'string' ? text.trim() : null;
}

function ok(id: string, found: string): DoctorCheck {
  return { id, status: 'ok', found, mend: '' };
}

function kernel(release: string | null): DoctorCheck {
  const match = /^(\d+)\.(\d+)/.exec(release ?? '');
  const id = 'kernel';
  if (match === null) {
    return { id, status: 'unknown', found: 'the kernel version cannot be read', mend: 'mount /proc' };
  }
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const found = `Linux ${release}`;
  if (major > FIRST_VERSION[0] || (major === FIRST_VERSION[0] && minor >= FIRST_VERSION[1]))
    return ok(id, found);
  const mend = `boot Linux ${FIRST_VERSION.join('.')} or newer: older ones have no character devices for VFIO`;
  return { id, status: 'missing', found, mend };
}

function options(config: string | null, release: string | null): DoctorCheck {
  const id = 'options';
  if (config === null) {
    const found = `there is no /boot/config-${release ?? ''} to read`;
    return { id, status: 'unknown', found, mend: 'the other checks show whether the options are there' };
  }
  const isSet = (name: string): boolean => new RegExp(`^CONFIG_${name}=[ym]$`, 'm').test(config);
  const missing: string[] = OPTIONS.filter((name) => !isSet(name));
  if (!IOMMU_OPTIONS.some(isSet)) missing.push(IOMMU_OPTIONS.join(' or '));
  if (missing.length === 0) return ok(id, 'the kernel has every option that is needed');
  const names = missing.map((name) => `CONFIG_${name}`).join(', ');
  return { id, status: 'missing', found: `not set: ${names}`, mend: 'boot a kernel with these options' };
}

function iommu(sys: SysFiles): DoctorCheck {
  const id = 'iommu';
  const units = sys.list('/sys/class/iommu');
  const groups = sys.list('/sys/kernel/iommu_groups');
  if (typeof groups !== 'number' && groups.length > 0) {
    const names = typeof units === 'number' || units.length === 0 ? '' : ` (${units.join(', ')})`;
    return ok(id, `${groups.length} IOMMU groups${names}`);
  }
  const mend =
    'switch VT-d or AMD-Vi on in the firmware and boot with intel_iommu=on where that is not the default';
  return { id, status: 'missing', found: 'no IOMMU groups: no IOMMU is active', mend };
}

function interrupts(sys: SysFiles): DoctorCheck {
  const id = 'interrupts';
  const unsafe = textOf(sys, '/sys/module/iommufd/parameters/allow_unsafe_interrupts');
  const table = textOf(sys, '/proc/interrupts');
  if (table === null) {
    return { id, status: 'unknown', found: '/proc/interrupts cannot be read', mend: 'mount /proc' };
  }
  // Remapped interrupts carry the name of their chip with this prefix.
  if (/\bIR-/.test(table)) return ok(id, 'interrupts are remapped');
  if (unsafe === 'Y') return ok(id, 'interrupts are not remapped, and iommufd accepts that');
  return {
    id,
    status: 'missing',
    found: 'interrupts do not seem to be remapped: binding a device will give EPERM',
    mend: 'switch interrupt remapping on in the firmware; or, if a device may attack this machine, load iommufd with allow_unsafe_interrupts=1',
  };
}

function iommufd(sys: SysFiles): DoctorCheck {
  const id = 'iommufd';
  const err = sys.access('/dev/iommu');
  if (err === 0) return ok(id, '/dev/iommu can be opened');
  if (err === -EACCES || err === -EPERM) {
    return {
      id,
      status: 'missing',
      found: '/dev/iommu may not be opened by this user',
      mend: 'give it to a group of yours: a udev rule KERNEL=="iommu", GROUP="vfio", MODE="0660"',
    };
  }
  const mend = 'modprobe iommufd; in a container pass the device: --device /dev/iommu';
  return { id, status: 'missing', found: 'there is no /dev/iommu', mend };
}

function memlock(limits: string | null): DoctorCheck {
  const id = 'memlock';
  const match = /^Max locked memory\s+(\S+)/m.exec(limits ?? '');
  if (match === null) {
    return { id, status: 'unknown', found: 'the memlock limit cannot be read', mend: 'see ulimit -l' };
  }
  if (match[1] === 'unlimited') return ok(id, 'memory may be pinned without limit');
  const bytes = Number(match[1]);
  const found = `at most ${Math.floor(bytes / 2 ** 20)} MiB may be pinned (CAP_IPC_LOCK aside)`;
  if (bytes >= ENOUGH_MEMLOCK) return ok(id, found);
  const mend =
    'raise it: ulimit -l, /etc/security/limits.conf (memlock), or LimitMEMLOCK= of the systemd unit';
  return { id, status: 'limit', found, mend };
}

function hugePages(text: string | null): DoctorCheck {
  const id = 'hugepages';
  if (text === null || text.includes('[never]')) {
    const found = 'there are no transparent huge pages: every mapping is made of 4 KiB entries';
    return { id, status: 'limit', found, mend: 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' };
  }
  return ok(id, 'transparent huge pages are available');
}
