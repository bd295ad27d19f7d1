/** Experience with one errno of one call. Kernel 6.12.117 and 7.3.4, unless said. */
interface Cause {
  /** Name of the call; empty for every call. */
  readonly call: string;
  readonly code: string;
  readonly text: string;
}

const CAUSES: readonly Cause[] = [
  {
    call: 'open /dev/iommu',
    code: 'ENOENT',
    text: 'the kernel has no CONFIG_IOMMUFD, or its module is not loaded (modprobe iommufd)',
  },
  {
    call: 'open /dev/iommu',
    code: 'EACCES',
    text: '/dev/iommu belongs to root with mode 0660: give it to your group with a udev rule',
  },
  {
    call: 'bind to vfio-pci',
    code: 'EBUSY',
    text: 'a kernel driver uses the function: unbind it only if the machine can lose this device',
  },
  {
    call: 'bind to vfio-pci',
    code: 'ENODEV',
    text: 'vfio-pci did not take the function: there is no IOMMU in front of it, or the kernel has no vfio-pci',
  },
  {
    call: 'open device',
    code: 'ENOENT',
    text: 'vfio-pci does not have this function: see bindToVfio, and gpusvm doctor',
  },
  {
    call: 'open device',
    code: 'EACCES',
    text: 'the files of /dev/vfio/devices belong to root with mode 0600: chown the one of this device',
  },
  {
    call: 'open device',
    code: 'EBUSY',
    text: 'another process has the device open',
  },
  {
    call: 'VFIO_DEVICE_BIND_IOMMUFD',
    code: 'EPERM',
    text: 'either the IOMMU does not remap interrupts (boot with it enabled in the firmware, or load iommufd with allow_unsafe_interrupts=1 at your own risk), or another function of the same IOMMU group still has a kernel driver',
  },
  {
    call: 'VFIO_DEVICE_BIND_IOMMUFD',
    code: 'EINVAL',
    text: 'the device is bound already, by this descriptor or by another one',
  },
  {
    call: 'VFIO_DEVICE_GET_INFO',
    code: 'EINVAL',
    text: 'the device has to be bound to an iommufd first',
  },
  {
    call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    code: 'EFAULT',
    text: 'the IOAS holds a mapping whose memory was unmapped or cannot be pinned: unmap that range first',
  },
  {
    call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    code: 'EADDRINUSE',
    text: 'a mapping of the IOAS lies where this device has reserved addresses or beyond its aperture, or is not aligned to its page size',
  },
  {
    call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    code: 'ENOENT',
    text: 'there is no IOAS or HWPT with this id',
  },
  {
    call: 'IOMMU_IOAS_MAP',
    code: 'ENOMEM',
    text: 'pinning exceeds RLIMIT_MEMLOCK (raise ulimit -l or systemd LimitMEMLOCK), or memory is exhausted',
  },
  {
    call: 'IOMMU_IOAS_MAP',
    code: 'EEXIST',
    text: 'something is mapped in this range already',
  },
  {
    call: 'IOMMU_IOAS_MAP',
    code: 'EINVAL',
    text: 'address, length or IOVA is not aligned to the IOMMU page, the length is 0, the range is reserved or beyond the aperture (see Ioas.ranges), or neither reading nor writing was asked for',
  },
  {
    call: 'IOMMU_IOAS_MAP',
    code: 'EFAULT',
    text: 'the memory is not mapped, or not with the rights that were asked for',
  },
  { call: 'IOMMU_IOAS_MAP', code: 'EOVERFLOW', text: 'the range wraps around the end of the address space' },
  {
    call: 'IOMMU_IOAS_MAP',
    code: 'ENOSPC',
    text: 'no free range is long enough inside of the aperture and the allowed ranges',
  },
  {
    call: 'IOMMU_IOAS_UNMAP',
    code: 'ENOENT',
    text: 'nothing is mapped there, or the range would cut a mapping in two: iommufd unmaps whole mappings only',
  },
  { call: 'IOMMU_IOAS_COPY', code: 'ENOENT', text: 'the source range is not mapped as a whole' },
  { call: 'IOMMU_IOAS_COPY', code: 'EPERM', text: 'a mapping made for reading cannot be copied for writing' },
  {
    call: 'IOMMU_DESTROY',
    code: 'EBUSY',
    text: 'the object is in use: detach devices and destroy page tables first',
  },
  {
    call: 'IOMMU_HWPT_ALLOC',
    code: 'EOPNOTSUPP',
    text: 'this IOMMU cannot do what the flags ask for (dirty tracking, nesting)',
  },
  {
    call: 'IOMMU_HWPT_ALLOC',
    code: 'EINVAL',
    text: 'the parent is no address space, page table with nestParent or vIOMMU, or the data is not of the size of its type',
  },
  {
    call: 'IOMMU_VIOMMU_ALLOC',
    code: 'EOPNOTSUPP',
    text: 'the driver of this IOMMU has no vIOMMU of this type',
  },
  { call: 'IOMMU_VIOMMU_ALLOC', code: 'EINVAL', text: 'the page table was allocated without nestParent' },
  {
    call: 'IOMMU_VDEVICE_ALLOC',
    code: 'EEXIST',
    text: 'the device has a number in a vIOMMU already, or the number belongs to another device',
  },
  {
    call: 'IOMMU_IOAS_MAP_FILE',
    code: 'EINVAL',
    text: 'the range ends beyond the file, the file is not in memory (memfd, tmpfs, hugetlbfs), or the range is not one that Ioas.map would take',
  },
  {
    call: 'IOMMU_IOAS_CHANGE_PROCESS',
    code: 'EINVAL',
    text: 'something is mapped that is not a file: only files can change their process',
  },
  {
    call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    code: 'EINVAL',
    text: 'the page table does not go with the PASIDs in use (allocate it with pasid: true, for the device itself too), or this kernel or device has no PASIDs',
  },
  {
    call: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
    code: 'EOPNOTSUPP',
    text: 'the page table was not allocated with dirty tracking',
  },
  {
    call: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
    code: 'EINVAL',
    text: 'the range is not aligned to its page size and to that of the IOMMU',
  },
  { call: 'IOMMU_OPTION', code: 'EPERM', text: 'IOMMU_OPTION_RLIMIT_MODE needs CAP_SYS_RESOURCE' },
  { call: '', code: 'ENOTTY', text: 'this kernel does not know the call' },
  { call: '', code: 'E2BIG', text: 'this kernel does not know a field that was set' },
];

/** What usually causes an error; empty when nothing is known. */
export function likelyCause(call: string, code: string): string {
  const fits = CAUSES.find((c) => c.code === code && (c.call === call || c.call === ''));
  return fits?.text ?? '';
}
