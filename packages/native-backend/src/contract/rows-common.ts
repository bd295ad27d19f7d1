import type { Step } from '../program/program.ts';

/** @internal A page. */
export const P: 4096 = 4096;
/** @internal Where rows map: inside of every driver's aperture. */
export const BASE: 0x1100000 = 0x1100000;
/** @internal An address space with the device attached. */
export const ATTACHED: readonly Step[] = [{ op: 'ioas' }, { op: 'attach', ioas: 0 }];
