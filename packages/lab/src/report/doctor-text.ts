import type { DoctorCheck, DoctorDevice, DoctorReport } from '@gpusvm/native-backend';

const MARKS: Readonly<Record<DoctorCheck['status'], string>> = {
  ok: 'ok     ',
  missing: 'MISSING',
  limit: 'limit  ',
  unknown: '?      ',
};

/** The report of `gpusvm doctor` for people: one line a check, what to do below it, one sentence at the end. */
export function doctorText(report: DoctorReport): string {
  const lines = report.checks.flatMap(checkLines);
  for (const device of report.devices) lines.push('', ...deviceLines(device));
  return `${[...lines, '', verdict(report)].join('\n')}\n`;
}

function checkLines({ id, status, found, mend }: DoctorCheck): string[] {
  const line = `${MARKS[status]}  ${id.padEnd(10)}  ${found}`;
  return mend === '' ? [line] : [line, `${' '.repeat(21)}-> ${mend}`];
}

function deviceLines({ bdf, ids, driver, group, verdict: word, why, commands }: DoctorDevice): string[] {
  const place = group === '' ? '' : `, IOMMU group ${group}`;
  const owner = driver === '' ? 'no driver' : `driver ${driver}`;
  const lines = [`${bdf}  ${ids}  ${owner}${place}`, `  ${word}: ${why}`];
  if (commands.length > 0) lines.push('  as root:', ...commands.map((command) => `    ${command}`));
  return lines;
}

function verdict({ checks, devices, ready }: DoctorReport): string {
  if (ready) return 'This machine can run DMA on a real IOMMU.';
  const missing = checks.filter(({ status }) => status === 'missing').map(({ id }) => id);
  if (missing.length > 0) return `Not yet: ${missing.join(', ')} missing.`;
  if (devices.some(({ verdict: word }) => word === 'bind')) return 'Almost: give a spare device to vfio-pci.';
  return 'Not yet: there is no spare PCI device that vfio-pci could have.';
}
