import { nativeSuites } from './native-suites.ts';

nativeSuites('vtd', '7.3', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'the suite of the mapping strategies, strict mode': 'strategies=strict',
  'what is refused before a bind, and a second bind': 'refusals=bound',
  '2 MiB of the arena are one entry of the IOMMU': 'huge-pages',
  '1000 random programs give the transcript of SimSys': 'transcripts=1000',
  'faults: nothing leaks and the next run works': 'faults',
});
