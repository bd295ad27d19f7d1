import type { Call } from './call.ts';

/* include/uapi/linux/vfio.h as data, as far as a device file descriptor with iommufd needs it (Linux 6.6 and up). */

export const VFIO_DEVICE_FLAGS_RESET: 1 = 1;
export const VFIO_DEVICE_FLAGS_PCI: 2 = 2;

export const VFIO_REGION_INFO_FLAG_READ: 1 = 1;
export const VFIO_REGION_INFO_FLAG_WRITE: 2 = 2;
export const VFIO_REGION_INFO_FLAG_MMAP: 4 = 4;

/** Regions of a PCI function: BAR 0 to 5, then ROM, then configuration space. */
export const VFIO_PCI_CONFIG_REGION_INDEX: 7 = 7;
export const VFIO_PCI_NUM_REGIONS: 9 = 9;

export const VFIO_PCI_INTX_IRQ_INDEX: 0 = 0;
export const VFIO_PCI_MSI_IRQ_INDEX: 1 = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX: 2 = 2;
export const VFIO_PCI_NUM_IRQS: 5 = 5;

/** Flags of attach and detach: the `pasid` counts (since 6.15). */
export const VFIO_DEVICE_ATTACH_PASID: 1 = 1;
export const VFIO_DEVICE_DETACH_PASID: 1 = 1;

export const VFIO_IRQ_SET_DATA_EVENTFD: 4 = 4;
export const VFIO_IRQ_SET_ACTION_TRIGGER: 32 = 32;

/** All of them are `_IO(';', 100 + n)`. */
export const VFIO_DEVICE_GET_INFO = {
  name: 'VFIO_DEVICE_GET_INFO',
  request: 0x3b6b,
  struct: 'vfio_device_info',
  last: 'num_irqs',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['num_regions', 'u32'],
    ['num_irqs', 'u32'],
    ['cap_offset', 'u32'],
  ],
} as const;

export const VFIO_DEVICE_GET_REGION_INFO = {
  name: 'VFIO_DEVICE_GET_REGION_INFO',
  request: 0x3b6c,
  struct: 'vfio_region_info',
  last: 'offset',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['index', 'u32'],
    ['cap_offset', 'u32'],
    ['size', 'u64'],
    ['offset', 'u64'],
  ],
} as const;

export const VFIO_DEVICE_GET_IRQ_INFO = {
  name: 'VFIO_DEVICE_GET_IRQ_INFO',
  request: 0x3b6d,
  struct: 'vfio_irq_info',
  last: 'count',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['index', 'u32'],
    ['count', 'u32'],
  ],
} as const;

/** The header ends in a flexible array; one descriptor is what this package passes. */
export const VFIO_DEVICE_SET_IRQS = {
  name: 'VFIO_DEVICE_SET_IRQS',
  request: 0x3b6e,
  struct: 'vfio_irq_set',
  last: 'count',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['index', 'u32'],
    ['start', 'u32'],
    ['count', 'u32'],
    ['data', 's32'],
  ],
} as const;

export const VFIO_DEVICE_BIND_IOMMUFD = {
  name: 'VFIO_DEVICE_BIND_IOMMUFD',
  request: 0x3b76,
  struct: 'vfio_device_bind_iommufd',
  last: 'out_devid',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['iommufd', 's32'],
    ['out_devid', 'u32'],
  ],
} as const;

export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = {
  name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  request: 0x3b77,
  struct: 'vfio_device_attach_iommufd_pt',
  last: 'pt_id',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['pt_id', 'u32'],
    ['pasid', 'u32'],
  ],
} as const;

export const VFIO_DEVICE_DETACH_IOMMUFD_PT = {
  name: 'VFIO_DEVICE_DETACH_IOMMUFD_PT',
  request: 0x3b78,
  struct: 'vfio_device_detach_iommufd_pt',
  last: 'flags',
  fields: [
    ['argsz', 'u32'],
    ['flags', 'u32'],
    ['pasid', 'u32'],
  ],
} as const;

/** Takes no structure; the argument is ignored. */
export const VFIO_DEVICE_RESET_REQUEST: 0x3b6f = 0x3b6f;

/** Every VFIO call with a structure that this package issues. */
export const VFIO_CALLS: readonly Call[] = [
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
];
