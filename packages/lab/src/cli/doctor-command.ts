import { type DoctorReport, examine } from '@gpusvm/native-backend';
import { Command } from 'commander';
import { doctorText } from '../report/doctor-text.ts';
import { UserError } from './user-error.ts';

interface DoctorFlags {
  readonly device?: string;
  readonly json?: true;
}

/** `gpusvm doctor`: can this machine's IOMMU and devices be used, and what is missing? */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'Check whether iommufd and VFIO devices can be used here, and say what is missing and how to mend it. Changes nothing. Exit code 1 when something is missing or no device is ready.',
    )
    .exitOverride()
    .option('--device <address>', 'look at this PCI function, such as 0000:00:05.0; one in use is refused')
    .option('--json', 'print the result as JSON')
    .action((flags: DoctorFlags) => {
      const report = examined(flags.device);
      if (!report.ready) process.exitCode = 1;
      process.stdout.write(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : doctorText(report));
    });
}

function examined(bdf: string | undefined): DoctorReport {
  try {
    return examine(bdf === undefined ? {} : { bdf });
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(error.message);
    throw error;
  }
}
