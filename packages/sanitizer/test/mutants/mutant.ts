import type { DmaDeviceOptions, IommuMode } from '@gpusvm/dma-iova';
import type { KernelProfileName } from '@gpusvm/kernel';
import type { RuleId } from '../../src/index.ts';
import type { Rig } from '../rig.ts';

/** A fault that no catalogue lists. */
export interface Mutant {
  readonly what: string;
  /** The rule that must name it; others may speak as well. */
  readonly rule: RuleId;
  readonly mode?: IommuMode;
  readonly device?: Partial<DmaDeviceOptions>;
  readonly profile?: KernelProfileName;
  /** Release the device and end the machine afterwards. */
  readonly ends?: boolean;
  run(r: Rig): void;
}
