import { basename } from 'node:path';
import type { SysFiles } from './sys.ts';

/** Functions with these ids, by address; none when sysfs is not there. */
export function findPci(sys: SysFiles, vendor: number, device: number): string[] {
  const all = sys.list('/sys/bus/pci/devices');
  if (typeof all === 'number') return [];
  return all.filter((bdf) => hexOf(sys, bdf, 'vendor') === vendor && hexOf(sys, bdf, 'device') === device);
}

function hexOf(sys: SysFiles, bdf: string, name: string): number {
  const text = sys.readText(`/sys/bus/pci/devices/${bdf}/${name}`);
  return typeof text === 'number' ? -1 : Number(text);
}

/** Last component of a link's target; null when there is no link. */
export function linkName(sys: SysFiles, path: string): string | null {
  const target = sys.readLink(path);
  return typeof target === 'string' ? basename(target) : null;
}
