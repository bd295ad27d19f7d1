import type { Suspension, Task } from '@gpusvm/kernel';
import { XE_FIRST, type XeWorld } from './xe-bug.ts';

/** Somebody else may go first. */
const PAUSE: Suspension = Object.freeze({ kind: 'sleep', ns: 1000 });

/** The device reads and writes pages, again and again. */
export function* gpuTouches({ xe, vm }: XeWorld, offsets: readonly number[], write = true): Task<void> {
  for (let n = 1; n <= 5; n++) {
    yield PAUSE;
    for (const offset of offsets) {
      yield* xe.gpu.gpuRead(vm, XE_FIRST + offset);
      if (write) yield* xe.gpu.gpuWrite(vm, XE_FIRST + offset, n * 100 + offset);
    }
  }
}

/** Something happens to the memory now and then: seldom enough for a fault to get through, which takes many steps. */
export function* repeatedly(w: XeWorld, what: (w: XeWorld) => Task<unknown>, pauses: number = 1): Task<void> {
  for (let n = 0; n < 20; n++) {
    for (let i = 0; i < pauses; i++) yield PAUSE;
    yield* what(w);
  }
}
