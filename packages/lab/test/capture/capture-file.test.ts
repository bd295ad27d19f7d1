import { brotliCompressSync, constants } from 'node:zlib';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Capture } from '../../src/capture/capture.ts';
import { CaptureError } from '../../src/capture/capture-error.ts';
import { decodeCapture, encodeCapture, loadCapture, saveCapture } from '../../src/capture/capture-file.ts';
import { encodeHeader } from '../../src/capture/capture-header.ts';
import { encodePayload } from '../../src/capture/capture-payload.ts';
import { PageRunsBuilder } from '../../src/capture/page-runs.ts';
import { anyCapture } from './random-capture.ts';

const prot = { read: true, write: true, exec: false };

function smallCapture(): Capture {
  const builder = new PageRunsBuilder();
  builder.append(512, 512, 1024, 9, 2 | 8);
  builder.append(1030, 3, 77, 0, 2);
  builder.append(1040, 5, 0, 0, 1);
  return {
    version: 1,
    physical: 'captured',
    pageSize: 4096,
    info: { kernel: '6.18.44', note: 'small' },
    vmas: [{ startPage: 500, endPage: 2000, prot, shared: false, kind: 'anon', hugetlb: false, io: false }],
    runs: builder.finish(),
    ramPages: 100_000,
  };
}

/** What came of bytes that may be damaged. */
interface Outcome {
  readonly capture?: Capture;
  /** Message of the CaptureError; any other error is thrown. */
  readonly refusal?: string;
}

function decodeOutcome(bytes: Uint8Array): Outcome {
  try {
    return { capture: decodeCapture(bytes, 'damaged.gsvm') };
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    return { refusal: error.message };
  }
}

/** Whether bytes were refused with one sentence, or decode to a capture that is valid and so can be encoded. */
function isHandled(bytes: Uint8Array): boolean {
  const { capture, refusal } = decodeOutcome(bytes);
  if (refusal !== undefined) return /^damaged\.gsvm: [^\n]+\.$/.test(refusal);
  return capture !== undefined && encodeCapture(capture).length > 0;
}

/** A file whose checksum is right and whose payload is not. */
function seal(
  payload: Uint8Array,
  shape: { vmas: number; runs: number; payloadBytes?: number; modelled?: boolean },
) {
  // Fast rather than small: this is done thousands of times.
  const stored = brotliCompressSync(payload, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  const physical = shape.modelled === true ? 'modelled' : 'captured';
  return Buffer.concat([encodeHeader({ payloadBytes: payload.length, ...shape, physical }, stored), stored]);
}

test('any capture decodes to what was encoded, and equal captures give equal bytes', () => {
  fc.assert(
    fc.property(anyCapture, (capture) => {
      const bytes = encodeCapture(capture);
      const decoded = decodeCapture(bytes, 'x.gsvm');
      expect(decoded).toEqual(capture);
      expect(Buffer.from(encodeCapture(decoded)).equals(bytes)).toBe(true);
    }),
  );
});

test('a capture is saved to a file and loaded from it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gpusvm-'));
  const file = join(folder, 'a.gsvm');
  expect(saveCapture(file, smallCapture())).toBe(readFileSync(file).length);
  expect(loadCapture(file)).toEqual(smallCapture());
  expect(() => loadCapture(join(folder, 'none.gsvm'))).toThrow(/cannot be read \(ENOENT\)/);
  expect(() => saveCapture(join(folder, 'none', 'a.gsvm'), smallCapture())).toThrow(
    /cannot be written \(ENOENT\)/,
  );
  rmSync(folder, { recursive: true });
});

test('a capture cut at any length is refused', () => {
  const bytes = encodeCapture(smallCapture());
  for (let length = 0; length < bytes.length; length++) {
    expect(decodeOutcome(bytes.subarray(0, length)).refusal).toMatch(/^damaged\.gsvm: [^\n]+\.$/);
  }
});

test('a capture with any one byte changed to any other is refused', () => {
  const bytes = encodeCapture(smallCapture());
  const surprises: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    for (let xor = 1; xor < 256; xor++) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ xor;
      if (decodeOutcome(damaged).refusal === undefined) surprises.push(at);
    }
  }
  expect(surprises).toEqual([]);
});

test('a payload damaged under a right checksum is refused or decodes to a capture that can be encoded', () => {
  const payload = encodePayload(smallCapture());
  const byte = fc.record({ at: fc.nat({ max: payload.length - 1 }), value: fc.nat({ max: 255 }) });
  const bytes = fc.array(byte, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(bytes, fc.boolean(), (changes, modelled) => {
      const damaged = Uint8Array.from(payload);
      for (const { at, value } of changes) damaged[at] = value;
      expect(isHandled(seal(damaged, { vmas: 1, runs: 3, modelled }))).toBe(true);
    }),
    { numRuns: 3000 },
  );
});

test('random bytes as payload are refused or decode to a capture that can be encoded', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 40, maxLength: 80 }), (payload) => {
      expect(isHandled(seal(payload, { vmas: 2, runs: 4 }))).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('a payload that unpacks to more than the header says is refused before it is unpacked', () => {
  const bomb = seal(new Uint8Array(16 * 2 ** 20), { vmas: 0, runs: 0, payloadBytes: 100 });
  const before = process.memoryUsage().arrayBuffers;
  expect(decodeOutcome(bomb).refusal).toContain('the compressed part is damaged at byte 32');
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 2 ** 20);
});

test('a header that promises more than its payload can hold is refused', () => {
  const payload = encodePayload(smallCapture());
  for (const shape of [
    { vmas: 2 ** 20, runs: 3 },
    { vmas: 1, runs: 2 ** 32 - 1 },
    { vmas: 1, runs: 3, payloadBytes: 2 ** 32 - 1 },
  ]) {
    expect(decodeOutcome(seal(payload, shape)).refusal).toMatch(/too (many|large) at byte/);
  }
});

test('a file of another kind, another version or with a tail is refused with the reason', () => {
  const bytes = Buffer.from(encodeCapture(smallCapture()));
  expect(decodeOutcome(Buffer.from('#!/bin/sh\n')).refusal).toContain('not a gpusvm capture');
  expect(decodeOutcome(Buffer.concat([bytes, Buffer.alloc(1)])).refusal).toContain('data after the end');
  bytes[8] = 2;
  expect(decodeOutcome(bytes).refusal).toContain('format version 2 is not known');
});

test('a capture that breaks a promise of its types cannot be encoded', () => {
  const good = smallCapture();
  const [vma] = good.vmas;
  if (vma === undefined) throw new Error('no VMA');
  const bad: [Partial<Capture>, RegExp][] = [
    [{ seed: 1 }, /a captured capture has a seed/],
    [{ vmas: [{ ...vma, endPage: 1041 }] }, /run 2 is not inside one VMA/],
    [{ vmas: [{ ...vma, io: true }] }, /without ordinary pages/],
    [{ vmas: [vma, vma] }, /VMA 1 begins before/],
    [{ runs: { ...good.runs, order: Uint8Array.of(8, 0, 0) } }, /PMD-mapped with folio order 8/],
    [{ runs: { ...good.runs, pfn: Float64Array.of(1024, 2 ** 41, 0) } }, /out of range/],
    [{ runs: { ...good.runs, order: Uint8Array.of(9, 0, 1) } }, /swapped out yet has a page frame/],
    [{ runs: { ...good.runs, flags: Uint8Array.of(10) } }, /differ in length/],
  ];
  for (const [change, message] of bad) {
    expect(() => encodeCapture({ ...good, ...change })).toThrow(message);
  }
});
