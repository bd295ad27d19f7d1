// Every behaviour row on the real kernel, in a guest.
//   node behaviour.mjs vtd|amd|mock 6.12|7.3 [edu|nvme]
import { behaviourContract } from '../dist/contract/index.js';
import { linuxSys } from '../dist/index.js';
import { report } from './report.mjs';

const [driver, kernel, engine = 'nvme'] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
const device = driver === 'mock' ? 'mock' : engine;
report(behaviourContract(() => found.sys, { driver, kernel }, device));
