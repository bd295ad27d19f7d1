import { MAP_STRATEGIES } from '@gpusvm/drm-pagemap';
import { Command } from 'commander';
import { loadCapture } from '../capture/capture-file.ts';
import { shippedCaptures } from '../capture/shipped.ts';
import { compare } from '../compare/compare.ts';
import type { CompareOptions } from '../compare/result.ts';
import { comparisonText } from '../report/text.ts';
import { captureOwnProcess } from './live-process.ts';
import { terminalProgress } from './progress.ts';

const OPTIONS: CompareOptions = {
  strategies: MAP_STRATEGIES,
  iommu: 'strict',
  fault: '2M',
  kernel: 'linux-7.3',
  seed: 1,
};

/** `gpusvm demo`: the comparison on every shipped capture and, on Linux, on a process started for it. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Compare the mapping schemes on the shipped captures and, on Linux, on a process started for it.',
    )
    .exitOverride()
    .action(async () => {
      const progress = terminalProgress();
      const show = (name: string, capture: Parameters<typeof compare>[1]): void => {
        const result = compare(name, capture, OPTIONS, (strategy) => progress.step(`${name}: ${strategy}`));
        progress.clear();
        process.stdout.write(`${comparisonText(result)}\n`);
      };
      for (const { name, file } of shippedCaptures()) show(name, loadCapture(file));
      if (process.platform === 'linux') show('a process started just now', await captureOwnProcess());
      else
        process.stdout.write(`A live process can be captured on Linux only; this is ${process.platform}.\n`);
      process.stdout.write(
        'Compare your own: gpusvm capture --pid N -o my.gsvm, then gpusvm compare --capture my.gsvm\n',
      );
    });
}
