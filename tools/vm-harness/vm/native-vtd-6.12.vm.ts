import { nativeSuites } from './native-suites.ts';

nativeSuites('vtd', '6.12', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'what is refused before a bind, and a second bind': 'refusals=bound',
  '2 MiB of the arena are one entry of the IOMMU': 'huge-pages',
});
