import { basename } from 'node:path';
import { linkName } from '../find-pci.ts';
import type { SysFiles } from '../sys.ts';

/**
 * For what the machine uses a PCI function, one sentence; null when it seems to be spare. Mounted file systems and
 * swap (also below device mapper), network interfaces that are up, the screen that the machine booted with.
 */
export function deviceUse(sys: SysFiles, bdf: string): string | null {
  const dir = `/sys/bus/pci/devices/${bdf}`;
  const disk = mountedDisk(sys, bdf);
  if (disk !== null) return disk;
  for (const name of listOf(sys, `${dir}/net`)) {
    const state = sys.readText(`${dir}/net/${name}/operstate`);
    if (typeof state === 'string' && state.trim() !== 'down') return `network interface ${name} is in use`;
  }
  const bootVga = sys.readText(`${dir}/boot_vga`);
  if (typeof bootVga === 'string' && bootVga.trim() === '1')
    return 'it is the GPU that the machine booted with';
  return null;
}

function mountedDisk(sys: SysFiles, bdf: string): string | null {
  const mounts = sys.readText('/proc/mounts');
  for (const line of typeof mounts === 'string' ? mounts.split('\n') : []) {
    const [device = '', where = ''] = line.split(' ');
    if (device.startsWith('/dev/') && liesOn(sys, blockName(sys, device), bdf))
      return `${where} is mounted from it`;
  }
  const swaps = sys.readText('/proc/swaps');
  for (const line of typeof swaps === 'string' ? swaps.split('\n').slice(1) : []) {
    const [device = ''] = line.split(/\s/);
    if (device.startsWith('/dev/') && liesOn(sys, blockName(sys, device), bdf))
      return `${device} on it is swap`;
  }
  return null;
}

/** `/dev/mapper/root` is a link to `../dm-0`. */
function blockName(sys: SysFiles, device: string): string {
  return linkName(sys, device) ?? basename(device);
}

/** Whether a block device is behind a PCI function, itself or through what it is composed of. */
function liesOn(sys: SysFiles, block: string, bdf: string): boolean {
  const target = sys.readLink(`/sys/class/block/${block}`);
  if (typeof target === 'string' && target.split('/').includes(bdf)) return true;
  return listOf(sys, `/sys/class/block/${block}/slaves`).some((slave) => liesOn(sys, slave, bdf));
}

function listOf(sys: SysFiles, path: string): readonly string[] {
  const names = sys.list(path);
  return typeof names === 'number' ? [] : names;
}
