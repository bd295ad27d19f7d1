import { EBUSY, ENODEV } from '@gpusvm/kernel';
import { linkName } from './find-pci.ts';
import { check, KernelError } from './kernel-error.ts';
import type { Sys } from './sys.ts';

const WAIT_MS = 2000;

/**
 * Give a PCI function to vfio-pci by its driver_override (root only). Nothing happens when vfio-pci has it already.
 * Refuses a function that a kernel driver uses: unbind it yourself when you know that the machine can lose it.
 *
 * @param bdf - `0000:00:04.0`.
 * @throws KernelError EBUSY when a kernel driver has it, ENODEV when vfio-pci does not take it (no IOMMU, no vfio-pci).
 */
export function bindToVfio(sys: Sys, bdf: string): void {
  const dir = `/sys/bus/pci/devices/${bdf}`;
  const driver = linkName(sys, `${dir}/driver`);
  if (driver === 'vfio-pci') return;
  if (driver !== null) throw new KernelError('bind to vfio-pci', -EBUSY, { bdf, driver });
  check('write driver_override', sys.writeText(`${dir}/driver_override`, 'vfio-pci'), { bdf });
  check('write drivers_probe', sys.writeText('/sys/bus/pci/drivers_probe', bdf), { bdf });
  // The write succeeds although the probe may fail; the character device shows which it was.
  for (let waited = 0; typeof sys.list(`${dir}/vfio-dev`) === 'number'; waited += 10) {
    if (waited >= WAIT_MS) throw new KernelError('bind to vfio-pci', -ENODEV, { bdf });
    sys.sleepMs(10);
  }
}
