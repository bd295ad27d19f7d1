import type { DeviceShadow } from './device-shadow.ts';
import type { MappingView } from './mapping-view.ts';

/** The live mapping that holds a whole range of DMA addresses; null when there is none. */
export function coveringMapping(
  device: DeviceShadow,
  addrBytes: number,
  sizeBytes: number,
): MappingView | null {
  const there = device.mappingAtPage(Math.floor(addrBytes / 4096));
  if (there !== null && covers(device, there, addrBytes, sizeBytes)) return there;
  if (device.translated) return null;
  // Records of a device without IOMMU are known by their start only.
  for (let id = device.mappingAt.get(addrBytes); id !== 0; id = device.mappings.next(id))
    if (device.mappings.sizeBytes(id) >= sizeBytes) return device.record(id);
  let found: MappingView | null = null;
  device.forEachMapping((mapping) => {
    if (covers(device, mapping, addrBytes, sizeBytes)) found = mapping;
  });
  return found;
}

/** Segments of a list that follow one another may be synced together. */
function covers(device: DeviceShadow, mapping: MappingView, addrBytes: number, sizeBytes: number): boolean {
  if (mapping.kind !== 'list')
    return addrBytes >= startOf(mapping) && addrBytes + sizeBytes <= startOf(mapping) + mapping.sizeBytes;
  for (const list of device.lists.values())
    if (addrBytes >= list.addrBytes && addrBytes + sizeBytes <= list.endBytes) return true;
  return false;
}

/** A link's record has the address of its reservation. */
function startOf({ kind, firstPage, addrBytes, physBytes }: MappingView): number {
  return kind === 'link' ? firstPage * 4096 + (physBytes & 4095) : addrBytes;
}
