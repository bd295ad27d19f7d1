// The contract of mapping strategies over pinned memory and an IOAS on the real kernel, in a guest.
//   node strategies.mjs vtd|amd|mock
import { strategyContract } from '../dist/contract/index.js';
import { linuxSys } from '../dist/index.js';
import { report } from './report.mjs';

const [driver] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
report(strategyContract(() => found.sys, driver === 'mock' ? 'mock' : 'nvme', { mostFolios: 64 }));
