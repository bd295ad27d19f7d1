export { Dmirror, type DmirrorCounts } from './dmirror.ts';
export { DmirrorDevice, type DmirrorDeviceOptions } from './dmirror-device.ts';
export { EvictionStuck } from './evict-chunk.ts';
export { type MirrorAccess, type MirrorEntry, MirrorTable } from './mirror-table.ts';
export { snapshotByte, snapshotWord } from './snapshot.ts';
