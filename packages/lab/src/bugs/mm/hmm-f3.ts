import { done } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug } from './mm-bug.ts';

/**
 * Splitting a huge page replaces its all-zero pages by the zero page, so that a page which was there a moment ago is
 * collected as a hole: MIGRATE without VALID. The patched driver knows holes of untouched memory only, copies what has a
 * source, and leaves the device page of such a slot as it was.
 */
export const HMM_F3: MmBug = {
  id: 'HMM-F3',
  title: 'a driver copies sources only, and a split has made a hole of an all-zero page',
  source: 'measured with test_hmm on 6.12.117 and 7.3.4',
  evidence: 'inferred',
  finds: 'S13',
  ramPages: 2048,
  pages: 512,
  huge: true,
  written: 1,
  patch({ dev }) {
    const { copy } = dev.ops;
    dev.ops.copy = (device, from, to) => (from < 0 ? done(undefined) : copy(device, from, to));
  },
  tasks: { driver: ({ dev }) => migrateToDevice(dev, FIRST, FIRST + 2) },
};
