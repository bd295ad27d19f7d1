import { nativeSuites } from './native-suites.ts';

nativeSuites('amd', '7.3', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'what is refused before a bind, and a second bind': 'refusals=bound',
  '1000 random programs give the transcript of SimSys': 'transcripts=1000',
});
