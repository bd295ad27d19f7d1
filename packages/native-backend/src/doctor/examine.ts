import { loadAddon } from '../addon.ts';
import { LinuxFiles } from '../linux-files.ts';
import type { SysFiles } from '../sys.ts';
import { examineDevice, pciFunctions } from './device-checks.ts';
import type { DoctorCheck, DoctorReport } from './report.ts';
import { systemChecks } from './system-checks.ts';

/** What to look at. */
export interface ExamineOptions {
  /** Only this function; default all that have no driver or belong to vfio-pci. */
  readonly bdf?: string;
  /** Files; default this machine's. */
  readonly files?: SysFiles;
  /** Whether the addon can be had; default: try. */
  readonly addon?: { readonly available: true } | { readonly available: false; readonly message: string };
}

/**
 * Whether iommufd and VFIO can be used here, and what is missing. Reads files only, changes nothing, needs no
 * privilege.
 *
 * @throws RangeError when the function that was asked for does not exist.
 */
export function examine(o: ExamineOptions = {}): DoctorReport {
  const files = o.files ?? new LinuxFiles();
  const all = pciFunctions(files);
  if (o.bdf !== undefined && !all.includes(o.bdf)) {
    const known =
      all.length === 0 ? 'there is no PCI device at all' : `there are ${all.length}, see lspci -D`;
    throw new RangeError(`no PCI device '${o.bdf}': ${known}`);
  }
  const checks = [addonCheck(o.addon ?? loadAddon()), ...systemChecks(files)];
  const examined = (o.bdf === undefined ? all : [o.bdf]).map((bdf) => examineDevice(files, bdf));
  // Without a question only those are of interest that nobody has: taking a driver's device is for the user to ask.
  const devices =
    o.bdf === undefined
      ? examined.filter(({ verdict }) => verdict === 'ready' || verdict === 'bind')
      : examined;
  const complete = checks.every(({ status }) => status !== 'missing');
  return { checks, devices, ready: complete && devices.some(({ verdict }) => verdict === 'ready') };
}

function addonCheck(addon: NonNullable<ExamineOptions['addon']>): DoctorCheck {
  if (addon.available) return { id: 'addon', status: 'ok', found: 'the native addon loads', mend: '' };
  const [found = '', mend = ''] = addon.message.split(': ', 2);
  return { id: 'addon', status: 'missing', found, mend };
}
