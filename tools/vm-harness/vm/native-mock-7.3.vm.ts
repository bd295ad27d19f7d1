import { nativeSuites } from './native-suites.ts';

nativeSuites('mock', '7.3', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'vfio-pci takes no device without an IOMMU': 'refusals=no-iommu',
  '1000 random programs give the transcript of SimSys': 'transcripts=1000',
});
