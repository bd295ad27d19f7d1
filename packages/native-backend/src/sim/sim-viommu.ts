import type { SimVdeviceObject, SimVeventqObject } from './sim-virtual-objects.ts';

/* What is left to do when an object of a guest's IOMMU has left the table (drivers/iommu/iommufd/viommu.c). */

export function destroyVdevice(vdevice: SimVdeviceObject): void {
  vdevice.viommu.vdevices.delete(vdevice.virtId);
  vdevice.viommu.users--;
  vdevice.device.vdevice = null;
}

export function destroyVeventq(object: SimVeventqObject): void {
  object.viommu.eventQueues.splice(object.viommu.eventQueues.indexOf(object), 1);
  object.viommu.users--;
  object.queue.clear();
}
