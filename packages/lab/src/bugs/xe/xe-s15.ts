import { done, type Task } from '@gpusvm/kernel';
import { gpuTouches, repeatedly } from './gpu.ts';
import { XE_FIRST, type XeBug, type XeWorld } from './xe-bug.ts';

/** A driver may pass over the notifications of its own migrations, but then it has to take its entries away itself. */
export const XE_S15: XeBug = {
  id: 'XE-S15',
  title: 'own migrations are passed over and the device keeps its entries',
  source: 'Documentation/mm/hmm.rst, step 3 of migration',
  evidence: 'inferred',
  finds: 'S15',
  patch: passOverOwn,
  tasks: {
    GPU: (w) => gpuTouches(w, [0, 8]),
    CPU: (w) => repeatedly(w, ({ mm }) => mm.cpuRead(XE_FIRST)),
  },
};

/** The GPU goes on with such an entry, and writes into a page whose contents are already on their way. */
export const XE_S16: XeBug = {
  ...XE_S15,
  id: 'XE-S16',
  title: 'the device writes a page through an entry that it kept during the migration',
  finds: 'S16',
  tasks: {
    GPU: (w) => gpuTouches(w, [0, 8]),
    'GPU too': (w) => gpuTouches(w, [8, 0]),
    CPU: (w) => repeatedly(w, readBoth),
  },
};

function* readBoth({ mm }: XeWorld): Task<void> {
  yield* mm.cpuRead(XE_FIRST);
  yield* mm.cpuRead(XE_FIRST + 8);
}

function passOverOwn({ vm, xe }: XeWorld): void {
  const ops = vm.svm.ops!;
  const invalidate = ops.invalidate.bind(ops);
  ops.invalidate = (gpusvm, notifier, range) =>
    range.event === 'MIGRATE' && range.owner === xe.peerOwner
      ? done(undefined)
      : invalidate(gpusvm, notifier, range);
}
