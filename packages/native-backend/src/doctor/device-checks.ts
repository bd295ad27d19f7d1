import { linkName } from '../find-pci.ts';
import type { SysFiles } from '../sys.ts';
import { deviceUse } from './device-use.ts';
import type { DoctorDevice } from './report.ts';

const PCI = '/sys/bus/pci/devices';

/** Functions of this machine, by address; none without PCI. */
export function pciFunctions(sys: SysFiles): readonly string[] {
  const all = sys.list(PCI);
  return typeof all === 'number' ? [] : all;
}

/** What can be done with one function, and what has to be done first. Changes nothing. */
export function examineDevice(sys: SysFiles, bdf: string): DoctorDevice {
  const driver = linkName(sys, `${PCI}/${bdf}/driver`) ?? '';
  const group = linkName(sys, `${PCI}/${bdf}/iommu_group`) ?? '';
  const known = { bdf, ids: `${idOf(sys, bdf, 'vendor')}:${idOf(sys, bdf, 'device')}`, driver, group };
  const classCode = sys.readText(`${PCI}/${bdf}/class`);
  if (typeof classCode === 'string' && classCode.startsWith('0x06')) {
    return { ...known, verdict: 'refused', why: 'it is a bridge: other devices are behind it', commands: [] };
  }
  const use = deviceUse(sys, bdf);
  if (use !== null) {
    return { ...known, verdict: 'refused', why: `${use}: this machine needs it`, commands: [] };
  }
  if (group === '') {
    return { ...known, verdict: 'blocked', why: 'it is behind no IOMMU', commands: [] };
  }
  const others = groupMembers(sys, group).filter((member) => member !== bdf);
  for (const member of others) {
    const memberUse = deviceUse(sys, member);
    if (memberUse === null) continue;
    const why = `${member} of the same IOMMU group is in use (${memberUse})`;
    return { ...known, verdict: 'refused', why, commands: [] };
  }
  const held = others.filter((member) => isHeld(linkName(sys, `${PCI}/${member}/driver`)));
  if (driver === 'vfio-pci' && held.length === 0) return opened(sys, known);
  const why =
    driver === 'vfio-pci'
      ? `${held.join(', ')} of the same IOMMU group have kernel drivers`
      : driver === ''
        ? 'no driver has it: vfio-pci can take it'
        : `kernel driver ${driver} has it, and nothing that was looked at uses it`;
  const commands = [...held.flatMap((member) => unbind(member)), ...give(bdf, driver)];
  return { ...known, verdict: 'bind', why, commands };
}

/** vfio-pci has it: may this user open it? */
function opened(sys: SysFiles, known: Pick<DoctorDevice, 'bdf' | 'ids' | 'driver' | 'group'>): DoctorDevice {
  const names = sys.list(`${PCI}/${known.bdf}/vfio-dev`);
  const name = typeof names === 'number' ? undefined : names[0];
  if (name === undefined) {
    const why = 'vfio-pci has it without a character device: CONFIG_VFIO_DEVICE_CDEV is missing';
    return { ...known, verdict: 'blocked', why, commands: [] };
  }
  const path = `/dev/vfio/devices/${name}`;
  if (sys.access(path) === 0) return { ...known, verdict: 'ready', why: `open ${path}`, commands: [] };
  const commands = [`chown $USER ${path}`];
  return { ...known, verdict: 'blocked', why: `${path} may not be opened by this user`, commands };
}

/** Drivers that only pass configuration space on do not hold a function. */
function isHeld(driver: string | null): boolean {
  return driver !== null && driver !== 'vfio-pci' && driver !== 'pcieport' && driver !== 'pci-stub';
}

function groupMembers(sys: SysFiles, group: string): readonly string[] {
  const members = sys.list(`/sys/kernel/iommu_groups/${group}/devices`);
  return typeof members === 'number' ? [] : members;
}

function unbind(bdf: string): string[] {
  return [`echo ${bdf} > ${PCI}/${bdf}/driver/unbind`];
}

function give(bdf: string, driver: string): string[] {
  if (driver === 'vfio-pci') return [];
  return [
    `echo vfio-pci > ${PCI}/${bdf}/driver_override`,
    ...(driver === '' ? [] : unbind(bdf)),
    `echo ${bdf} > /sys/bus/pci/drivers_probe`,
  ];
}

function idOf(sys: SysFiles, bdf: string, name: 'vendor' | 'device'): string {
  const text = sys.readText(`${PCI}/${bdf}/${name}`);
  return typeof text === 'string' ? text.trim().replace(/^0x/, '') : '????';
}
