import { EACCES, EINVAL, ENODEV, ENOENT, type Errno } from '@gpusvm/kernel';
import type { SimPciFunction } from './sim-pci.ts';

const PCI = '/sys/bus/pci/devices';

/**
 * The files of /sys and /proc that decide about a device, computed from the functions; other files are given as
 * text. Writing driver_override, unbind and drivers_probe moves a function between drivers.
 */
export class SimSysfs {
  readonly #functions: readonly SimPciFunction[];
  readonly #files: ReadonlyMap<string, string>;
  /** No IOMMU: vfio-pci does not take a device. */
  readonly #hasIommu: boolean;

  constructor(
    functions: readonly SimPciFunction[],
    files: Readonly<Record<string, string>>,
    hasIommu: boolean,
  ) {
    this.#functions = functions;
    this.#files = new Map(Object.entries(files));
    this.#hasIommu = hasIommu;
  }

  readText(path: string): string | Errno {
    const text = this.#files.get(path);
    if (text !== undefined) return text;
    const found = this.#attribute(path);
    if (found === null) return -ENOENT;
    const { fn, name } = found;
    const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}\n`;
    if (name === 'vendor') return hex(fn.model.vendor, 4);
    if (name === 'device') return hex(fn.model.device, 4);
    if (name === 'class') return hex(fn.model.classCode, 6);
    return name === 'driver_override' ? `${fn.driverOverride}\n` : -ENOENT;
  }

  writeText(path: string, text: string): Errno {
    const value = text.trim();
    if (path === '/sys/bus/pci/drivers_probe') return this.#probe(value);
    const found = this.#attribute(path);
    if (found === null) return this.#files.has(path) ? -EACCES : -ENOENT;
    if (found.name === 'driver_override') {
      found.fn.driverOverride = value === '' ? '(null)' : value;
      return 0;
    }
    if (found.name !== 'driver/unbind') return -EACCES;
    if (found.fn.driver === null || value !== found.fn.bdf)
      return found.fn.driver === null ? -ENOENT : -ENODEV;
    found.fn.driver = null;
    found.fn.vfioNumber = -1;
    return 0;
  }

  list(path: string): readonly string[] | Errno {
    if (path === PCI) return this.#functions.map(({ bdf }) => bdf).sort();
    const group = /^\/sys\/kernel\/iommu_groups\/(\d+)\/devices$/.exec(path);
    if (group !== null && this.#hasIommu) {
      const members = this.#functions.filter((fn) => fn.iommuGroup === Number(group[1]));
      return members.length === 0 ? -ENOENT : members.map(({ bdf }) => bdf).sort();
    }
    if (path === '/sys/kernel/iommu_groups') {
      const groups = new Set(this.#functions.map(({ iommuGroup }) => String(iommuGroup)));
      return this.#hasIommu ? [...groups].sort() : [];
    }
    const found = this.#attribute(path);
    if (found?.name === 'vfio-dev' && found.fn.vfioNumber >= 0) return [`vfio${found.fn.vfioNumber}`];
    const inside = [...this.#files.keys()].filter((file) => file.startsWith(`${path}/`));
    if (inside.length === 0) return -ENOENT;
    return [...new Set(inside.map((file) => file.slice(path.length + 1).split('/')[0]!))].sort();
  }

  readLink(path: string): string | Errno {
    const found = this.#attribute(path);
    if (found?.name === 'driver')
      return found.fn.driver === null ? -ENOENT : `../../../bus/pci/drivers/${found.fn.driver}`;
    if (found?.name === 'iommu_group' && this.#hasIommu)
      return `../../../kernel/iommu_groups/${found.fn.iommuGroup}`;
    return this.#files.get(path) ?? -ENOENT;
  }

  /** The function behind a character device; null when no function has it. */
  functionOf(path: string): SimPciFunction | null {
    const number = /^\/dev\/vfio\/devices\/vfio(\d+)$/.exec(path)?.[1];
    return this.#functions.find((fn) => number !== undefined && fn.vfioNumber === Number(number)) ?? null;
  }

  #attribute(path: string): { readonly fn: SimPciFunction; readonly name: string } | null {
    if (!path.startsWith(`${PCI}/`)) return null;
    const [bdf, ...rest] = path.slice(PCI.length + 1).split('/');
    const fn = this.#functions.find((one) => one.bdf === bdf);
    return fn === undefined ? null : { fn, name: rest.join('/') };
  }

  /** drivers_probe: the write succeeds although vfio-pci may refuse the device, as on the real kernel. */
  #probe(bdf: string): Errno {
    const fn = this.#functions.find((one) => one.bdf === bdf);
    if (fn === undefined) return -ENODEV;
    if (fn.driver !== null) return -EINVAL;
    const wanted = fn.driverOverride === '(null)' ? fn.kernelDriver : fn.driverOverride;
    if (wanted === 'vfio-pci') {
      if (!this.#hasIommu) return 0;
      let number = 0;
      while (this.#functions.some(({ vfioNumber }) => vfioNumber === number)) number++;
      fn.vfioNumber = number;
    }
    fn.driver = wanted;
    return 0;
  }
}
