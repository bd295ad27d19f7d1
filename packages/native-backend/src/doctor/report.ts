/** One thing that was looked at. */
export interface DoctorCheck {
  /** Short and stable, for programs: `kernel`, `iommu`, `memlock`. */
  readonly id: string;
  /** `missing` keeps devices from being used; `limit` makes some things fail; `unknown` could not be seen. */
  readonly status: 'ok' | 'missing' | 'limit' | 'unknown';
  /** What is there, one sentence. */
  readonly found: string;
  /** What to do; empty when nothing is. */
  readonly mend: string;
}

/** What can be done with a PCI function. */
export interface DoctorDevice {
  readonly bdf: string;
  /** `vendor:device` in hexadecimal. */
  readonly ids: string;
  /** Driver that has it; empty for none. */
  readonly driver: string;
  /** IOMMU group; empty without an IOMMU. */
  readonly group: string;
  /** `ready`: open it. `bind`: it is free, give it to vfio-pci. `refused`: the machine uses it. `blocked`: see why. */
  readonly verdict: 'ready' | 'bind' | 'refused' | 'blocked';
  /** Why, one sentence. */
  readonly why: string;
  /** Commands for root, in order; none for `ready` and `refused`. */
  readonly commands: readonly string[];
}

/** Everything that `gpusvm doctor` found. */
export interface DoctorReport {
  readonly checks: readonly DoctorCheck[];
  readonly devices: readonly DoctorDevice[];
  /** Nothing is missing, and a device is ready. */
  readonly ready: boolean;
}
