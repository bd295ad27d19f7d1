import type { DeviceShadow } from '../../shadow/device-shadow.ts';
import { rightsOf } from '../../shadow/rights.ts';

/** Rights to a page of a device that is not translated, see `rights.ts`. */
export function directRights(device: DeviceShadow, page: number): number {
  const inline = device.mappingAtPage(page);
  return device.rights.get(page) + (inline === null ? 0 : rightsOf(inline.dir));
}
