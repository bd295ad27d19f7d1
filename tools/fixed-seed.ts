import { configureGlobal } from 'fast-check';

// A recorded run must be the same run each time it is repeated; a developer's own run explores new seeds.
configureGlobal({ seed: 0x5eed });
