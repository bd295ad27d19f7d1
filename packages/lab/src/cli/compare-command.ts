import { basename } from 'node:path';
import { MAP_STRATEGIES, type MapStrategyName } from '@gpusvm/drm-pagemap';
import type { IommuMode } from '@gpusvm/dma-iova';
import { KERNEL_PROFILES, type KernelProfileName } from '@gpusvm/kernel';
import { linuxSys } from '@gpusvm/native-backend';
import { Command } from 'commander';
import type { Capture } from '../capture/capture.ts';
import { loadCapture } from '../capture/capture-file.ts';
import { readProcess } from '../capture/proc-reader.ts';
import { compare } from '../compare/compare.ts';
import { type GroundMaker, simulatedGround } from '../compare/ground.ts';
import { nativeGround } from '../compare/native-ground.ts';
import type { FaultSize } from '../compare/result.ts';
import { comparisonJson } from '../report/json.ts';
import { comparisonText } from '../report/text.ts';
import { integer, listOf, oneOf } from './arguments.ts';
import { examined } from './doctor-command.ts';
import { captureOwnProcess } from './live-process.ts';
import { terminalProgress } from './progress.ts';
import { UserError } from './user-error.ts';

const IOMMU_MODES = ['none', 'strict', 'lazy', 'swiotlb'] as const satisfies readonly IommuMode[];
const FAULT_SIZES = ['2M', '64K', '4K'] as const satisfies readonly FaultSize[];
const KERNELS = Object.keys(KERNEL_PROFILES) as KernelProfileName[];

const BACKENDS = ['simulated', 'native'] as const;
type Backend = (typeof BACKENDS)[number];

const NATIVE_NOTE =
  "The page table is the kernel's: its walks, entries, tables and invalidations are not counted, so the times lack them and do not compare schemes. What counts here: data, leaked entries, calls.\n";

interface CompareFlags {
  readonly capture?: string;
  readonly pid?: number;
  readonly live?: true;
  readonly fault: FaultSize;
  readonly iommu: IommuMode;
  readonly strategies: readonly MapStrategyName[];
  readonly kernel: KernelProfileName;
  readonly seed: number;
  readonly backend: Backend;
  readonly device?: string;
  readonly json?: true;
}

/** `gpusvm compare`: which mapping scheme should my driver use on this memory? */
export function compareCommand(): Command {
  return new Command('compare')
    .description(
      'Fault a memory layout in from a simulated GPU, bring it back and tear it down, once per DMA mapping scheme, and compare.',
    )
    .exitOverride()
    .option('--capture <file>', 'memory layout written by gpusvm capture')
    .option('--pid <pid>', 'read the layout of this process now', integer('a pid', 1, 4_194_304))
    .option('--live', 'start a small process and read its layout')
    .option(
      '--fault <size>',
      `pieces in which the GPU faults: ${FAULT_SIZES.join(', ')}`,
      oneOf('a fault size', FAULT_SIZES),
      '2M',
    )
    .option(
      '--iommu <mode>',
      `DMA mode: ${IOMMU_MODES.join(', ')}`,
      oneOf('an IOMMU mode', IOMMU_MODES),
      'strict',
    )
    .option(
      '--strategies <list>',
      `schemes, comma separated (default: all of ${MAP_STRATEGIES.join(', ')})`,
      listOf('strategy', MAP_STRATEGIES),
      MAP_STRATEGIES,
    )
    .option(
      '--kernel <profile>',
      `kernel to model: ${KERNELS.join(', ')}`,
      oneOf('a kernel', KERNELS),
      'linux-7.3',
    )
    .option('--seed <n>', 'seed of the simulation', integer('a seed', 0, 0x7fff_ffff), 1)
    .option(
      '--backend <name>',
      'simulated, or native: memory and IOMMU of this machine, accesses by DMA of an NVMe controller',
      oneOf('a backend', BACKENDS),
      'simulated',
    )
    .option(
      '--device <address>',
      'for --backend native: PCI address of an NVMe controller that vfio-pci has; the first 64 KiB of its namespace are OVERWRITTEN',
    )
    .option('--json', 'print the result as JSON')
    .action(async (flags: CompareFlags) => {
      const ground = groundOf(flags);
      const { name, capture } = await input(flags);
      const progress = terminalProgress();
      const told = (strategy: MapStrategyName): void => progress.step(`comparing: ${strategy}`);
      const result = compare(name, capture, flags, told, ground);
      progress.clear();
      process.stdout.write(flags.json === true ? comparisonJson(result) : comparisonText(result));
      if (flags.backend === 'native' && flags.json !== true) process.stdout.write(NATIVE_NOTE);
    });
}

/** What the comparison runs on. */
function groundOf({ backend, device, iommu }: CompareFlags): GroundMaker {
  if (backend === 'simulated') {
    if (device !== undefined) throw new UserError('--device needs --backend native');
    return simulatedGround;
  }
  if (device === undefined)
    throw new UserError(
      '--backend native needs --device with the address of an NVMe controller; gpusvm doctor finds one',
    );
  if (iommu !== 'strict' && iommu !== 'lazy')
    throw new UserError(`--backend native translates: --iommu strict or lazy, not ${iommu}`);
  const report = examined(device).devices[0]!;
  if (report.verdict !== 'ready')
    throw new UserError(
      `${device} cannot be used (${report.verdict}: ${report.why}); see gpusvm doctor --device ${device}`,
    );
  const found = linuxSys();
  if (!found.available) throw new UserError(found.message);
  return nativeGround(found.sys, device);
}

/** The memory that the flags name: exactly one source. */
async function input(flags: CompareFlags): Promise<{ name: string; capture: Capture }> {
  const sources = [flags.capture, flags.pid, flags.live].filter((source) => source !== undefined);
  if (sources.length !== 1) {
    throw new UserError('say which memory to compare on: exactly one of --capture FILE, --pid N and --live');
  }
  if (flags.capture !== undefined)
    return { name: basename(flags.capture), capture: loadCapture(flags.capture) };
  if (flags.pid !== undefined)
    return { name: `process ${flags.pid}`, capture: readProcess(flags.pid).capture };
  return { name: 'a process of ours', capture: await captureOwnProcess() };
}
