import type { DeviceShadow } from '../shadow/device-shadow.ts';
import type { Frames } from '../shadow/frames.ts';

/** What a mapping record adds to the counts by frame. */
export function countFrames(frames: Frames, device: DeviceShadow, id: number, delta: number): void {
  const { mappings } = device;
  const bounced = mappings.bounced(id);
  const first = device.pageAt(mappings.physBytes(id));
  const pages = device.framesOf(mappings.physBytes(id), mappings.sizeBytes(id));
  if (bounced || !device.translated) frames.others.add(first, pages, delta);
  if (device.maintains(mappings.dir(id), mappings.attrs(id), bounced))
    frames.writers.add(first, pages, delta);
}
