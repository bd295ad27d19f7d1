import { nativeSuites } from './native-suites.ts';

nativeSuites('amd', '6.12', {
  'every behaviour row': 'behaviour',
  'the contract of the seam': 'seam',
  'the suite of the mapping strategies, lazy mode': 'strategies=lazy',
  'what is refused before a bind, and a second bind': 'refusals=bound',
  'faults: nothing leaks and the next run works': 'faults',
});
