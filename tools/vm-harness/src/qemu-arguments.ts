/** Which IOMMU a guest's machine has: Intel VT-d, AMD-Vi, virtio-iommu, or none. */
export type IommuKind = 'intel' | 'amd' | 'virtio' | 'none';

/** A guest's machine. Addresses of devices are fixed: edu 00:04.0, NVMe 00:05.0. */
export interface MachineOptions {
  /** Kernel image. */
  readonly image: string;
  readonly initramfs: string;
  readonly iommu: IommuKind;
  /** VT-d that caches absent entries (CM), so that the kernel invalidates after a map; default false, as hardware. */
  readonly cachingMode?: boolean;
  /** Interrupt remapping of the VT-d; default true. Without it, BIND_IOMMUFD is refused. */
  readonly interruptRemapping?: boolean;
  /** Mount the host's root file system read-only and run the command in it; default `none`. */
  readonly root?: 'host' | 'none';
  /** Folder of the host that is `/tmp/work` in the guest. */
  readonly work: string;
  /** File that is the NVMe disk. */
  readonly disk: string;
  /** File for the output of the command. */
  readonly output: string;
  /** Memory in MiB; default 1024. */
  readonly memoryMib?: number;
  /** Default 1: what a trace holds is then in order. */
  readonly cpus?: number;
  /** More words for the kernel's command line. */
  readonly kernelArguments?: readonly string[];
  /** Trace events of QEMU, patterns such as `vtd_*`, and the file they go to. */
  readonly qemuTrace?: { readonly events: readonly string[]; readonly file: string };
}

/** PCI addresses of the devices in a guest. */
export const EDU_ADDRESS = '0000:00:04.0';
export const NVME_ADDRESS = '0000:00:05.0';

/**
 * Every feature but those that cost an emulated processor a fifth of its speed: AVX (glibc and V8 prefer it), string
 * instructions said to be fast, and checks at every change between user and kernel.
 */
const GUEST_CPU = 'max,xsave=off,erms=off,fsrm=off,smap=off,smep=off,la57=off';

/**
 * Arguments of qemu-system-x86_64. Plain emulation (TCG) always: a `/dev/kvm` may be there and not work, and what
 * is tested here are counts and results, never times.
 */
export function qemuArguments(o: MachineOptions): string[] {
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    '-display',
    'none',
    '-machine',
    'q35',
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    GUEST_CPU,
    '-m',
    String(o.memoryMib ?? 1024),
    '-smp',
    String(o.cpus ?? 1),
    '-serial',
    'stdio',
    '-serial',
    `file:${o.output}`,
    '-kernel',
    o.image,
    '-initrd',
    o.initramfs,
    // An IOMMU has to come before the devices behind it.
    ...iommuDevice(o),
    '-device',
    'edu,addr=4.0,dma_mask=0xffffffffff',
    '-drive',
    `id=disk,file=${o.disk},format=raw,if=none,cache=unsafe`,
    '-device',
    'nvme,addr=5.0,serial=gpusvm,drive=disk',
    ...(o.root === 'host' ? share('host', '/', '8.0', ',readonly=on,multidevs=remap') : []),
    ...share('work', o.work, '9.0', ''),
    ...(o.qemuTrace?.events ?? []).flatMap((event) => ['-trace', event]),
    ...(o.qemuTrace === undefined ? [] : ['-D', o.qemuTrace.file]),
    '-append',
    commandLine(o),
  ];
}

function iommuDevice(o: MachineOptions): string[] {
  switch (o.iommu) {
    case 'intel': {
      const onOff = (value: boolean): string => (value ? 'on' : 'off');
      const remapping = onOff(o.interruptRemapping ?? true);
      const caching = onOff(o.cachingMode ?? false);
      return [
        '-device',
        `intel-iommu,intremap=${remapping},caching-mode=${caching},device-iotlb=on,aw-bits=48`,
      ];
    }
    case 'amd':
      return ['-device', 'amd-iommu'];
    case 'virtio':
      return ['-device', 'virtio-iommu-pci,addr=1.0'];
    case 'none':
    default:
      return [];
  }
}

function share(tag: string, path: string, address: string, options: string): string[] {
  // A comma ends an option's value; a doubled one stands for itself.
  const escaped = path.replaceAll(',', ',,');
  return [
    '-fsdev',
    `local,id=${tag},path=${escaped},security_model=none${options}`,
    '-device',
    `virtio-9p-pci,fsdev=${tag},mount_tag=${tag},addr=${address},disable-legacy=on`,
  ];
}

function commandLine(o: MachineOptions): string {
  return [
    // An oops ends the guest at once (panic, no reboot), so that a broken kernel is a quick failure.
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'oops=panic',
    'tsc=reliable',
    // Under load the emulated timer is late behind interrupt remapping, and the kernel would panic.
    'no_timer_check',
    'intel_iommu=on',
    'iommu=nopt',
    `gpusvm.root=${o.root ?? 'none'}`,
    ...(o.iommu === 'virtio' ? ['iommufd.allow_unsafe_interrupts=1'] : []),
    ...(o.kernelArguments ?? []),
  ].join(' ');
}
