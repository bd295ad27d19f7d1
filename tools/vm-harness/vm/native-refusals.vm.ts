import { KERNEL_VERSIONS } from '../src/kernel-build.ts';
import { nativeSuites } from './native-suites.ts';

const SUITES = { 'a bind without interrupt remapping is refused': 'refusals=no-remapping' };
for (const version of KERNEL_VERSIONS) nativeSuites('vtd', version, SUITES, { interruptRemapping: false });
