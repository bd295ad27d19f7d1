import type { DmaDeviceOptions, IommuMode, IoPageTableName } from '@gpusvm/dma-iova';
import type { KernelProfileName } from '@gpusvm/kernel';
import type { RuleId } from '../../src/index.ts';
import { rig, type Rig } from '../rig.ts';

/** One way to reach memory in which drivers are tried. */
export interface Setting {
  readonly name: string;
  readonly mode: IommuMode;
  readonly device: Partial<DmaDeviceOptions>;
  readonly profile: KernelProfileName;
}

const FORMATS: readonly IoPageTableName[] = ['vtd', 'amdv1', 'vtd-legacy', 'amd-legacy', 'arm-lpae'];

function setting(
  name: string,
  mode: IommuMode,
  device: Partial<DmaDeviceOptions> = {},
  profile: KernelProfileName = 'linux-7.3',
): Setting {
  return { name, mode, device, profile };
}

/** With a page table, in every format and both ways to invalidate. */
const TRANSLATED: readonly Setting[] = [
  ...(['strict', 'lazy'] as const).flatMap((mode) =>
    FORMATS.map((ioPageTable) => setting(`${mode}, ${ioPageTable}`, mode, { ioPageTable })),
  ),
  setting('strict, no snooping', 'strict', { coherent: false }),
  setting('lazy, no snooping', 'lazy', { coherent: false }),
  setting('strict, untrusted', 'strict', { untrusted: true }),
  setting('strict, caching mode', 'strict', { cachingMode: true }),
  setting('strict, 7.2', 'strict', {}, 'linux-7.2'),
  setting('lazy, 7.2', 'lazy', {}, 'linux-7.2'),
];

const DIRECT: readonly Setting[] = [
  setting('none', 'none'),
  setting('none, no snooping', 'none', { coherent: false }),
  setting('swiotlb', 'swiotlb'),
];

/** A fault of a driver, beside the same driver without it. */
export interface DriverBug {
  readonly what: string;
  /** Rules of all reports, oldest first; or by setting. */
  readonly reports: readonly RuleId[] | ((at: Setting) => readonly RuleId[]);
  /** A part of the first message. */
  readonly says: string;
  /** Where it is tried; default everywhere. */
  readonly where?: (at: Setting) => boolean;
  readonly bad: (r: Rig) => void;
  readonly good: (r: Rig) => void;
}

/** Driver bugs of the two-step API need a page table. */
export const translated = (at: Setting): boolean => TRANSLATED.includes(at);

/** Where a bug is tried. */
export function settingsOf({ where = () => true }: DriverBug): Setting[] {
  return [...TRANSLATED, ...DIRECT].filter(where);
}

/** Run one of the two programs to the end of the machine. */
export function runDriver(program: (r: Rig) => void, { mode, device, profile }: Setting): Rig {
  const r = rig(mode, device, {}, { profile });
  program(r);
  return r;
}

/** The device goes, then the machine. */
export function endOf(r: Rig): void {
  r.sanitizer.releaseDevice(r.dev);
  r.sanitizer.finish();
}
