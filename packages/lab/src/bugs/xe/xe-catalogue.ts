import { QJ } from './qj.ts';
import type { XeBug } from './xe-bug.ts';
import { XE_S13 } from './xe-s13.ts';
import { XE_S14 } from './xe-s14.ts';
import { XE_S15, XE_S16 } from './xe-s15.ts';
import { XE_S19 } from './xe-s19.ts';
import { XE_F1, XE_S22 } from './xe-s22.ts';
import { XE_S6 } from './xe-s6.ts';
import { XE_S7 } from './xe-s7.ts';

/** Bugs that are shown on the whole driver stack, one for every rule that needs to know what the device does. */
export const XE_BUGS: readonly XeBug[] = [
  XE_S6,
  XE_S7,
  XE_S13,
  QJ,
  XE_S14,
  XE_S15,
  XE_S16,
  XE_S19,
  XE_S22,
  XE_F1,
];
