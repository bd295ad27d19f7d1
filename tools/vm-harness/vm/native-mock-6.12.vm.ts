import { nativeSuites } from './native-suites.ts';

nativeSuites('mock', '6.12', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'vfio-pci takes no device without an IOMMU': 'refusals=no-iommu',
});
