import type { Sys } from './sys.ts';

/** Functions with these ids, by address; none when sysfs is not there. */
export function findPci(sys: Sys, vendor: number, device: number): string[] {
  const all = sys.list('/sys/bus/pci/devices');
  if (typeof all === 'number') return [];
  return all.filter((bdf) => hexOf(sys, bdf, 'vendor') === vendor && hexOf(sys, bdf, 'device') === device);
}

function hexOf(sys: Sys, bdf: string, name: string): number {
  const text = sys.readText(`/sys/bus/pci/devices/${bdf}/${name}`);
  return typeof text === 'number' ? -1 : Number(text);
}
