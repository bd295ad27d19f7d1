import { readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import type { FailAt } from './byte-stream.ts';
import type { Capture } from './capture.ts';
import { findCaptureProblem } from './capture-check.ts';
import { CaptureError, MADE_AGAIN } from './capture-error.ts';
import { decodeHeader, encodeHeader, HEADER_BYTES, MAX_PAYLOAD_BYTES } from './capture-header.ts';
import { decodePayload, encodePayload } from './capture-payload.ts';
import { observedRuns } from './observed-runs.ts';
import { modelPhysical } from './physical-model.ts';

/** Close to the densest setting at a tenth of its time. */
const BROTLI_QUALITY = 9;

/**
 * Encodes a capture. Equal captures give equal bytes, for one version of Node's compressor. O(size).
 *
 * @param capture - the capture; of a modelled one only what was observed is stored, and the seed
 * @returns the bytes of a `.gsvm` file
 * @throws RangeError when the capture breaks a promise of its types, or is beyond the limits of the format
 */
export function encodeCapture(capture: Capture): Uint8Array {
  const problem = findCaptureProblem(capture);
  if (problem !== undefined) throw new RangeError(`not a valid capture: ${problem}`);
  const modelled = capture.physical === 'modelled';
  const stored: Capture = modelled ? { ...capture, runs: observedRuns(capture.vmas, capture.runs) } : capture;
  const payload = encodePayload(stored);
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(`the payload has ${payload.length} bytes, more than ${MAX_PAYLOAD_BYTES}`);
  }
  const compressed = brotliCompressSync(payload, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: payload.length,
    },
  });
  const shape = {
    physical: stored.physical,
    vmas: stored.vmas.length,
    runs: stored.runs.startPage.length,
    payloadBytes: payload.length,
  };
  return new Uint8Array(Buffer.concat([encodeHeader(shape, compressed), compressed]));
}

/**
 * Decodes a capture and, for a modelled one, runs the physical model. O(size).
 *
 * @param bytes - the bytes of a `.gsvm` file; damaged or hostile bytes end in an error, within 256 MiB of payload
 * @param file - what to call the file in an error
 * @returns a capture that keeps every promise of its types
 * @throws CaptureError when the bytes are not a capture, or a damaged one
 */
export function decodeCapture(bytes: Uint8Array, file: string): Capture {
  const header = decodeHeader(bytes, file);
  const payload = decompress(bytes.subarray(HEADER_BYTES), header.payloadBytes, file);
  const failInPayload: FailAt = (problem, offset) => {
    throw new CaptureError(
      { file },
      `the capture is damaged: ${problem} (payload byte ${offset})`,
      MADE_AGAIN,
    );
  };
  const stored = decodePayload(payload, header, failInPayload);
  const problem = findCaptureProblem(stored);
  if (problem !== undefined)
    throw new CaptureError({ file }, `the capture is damaged: ${problem}`, MADE_AGAIN);
  if (stored.seed === undefined) return stored;
  return { ...stored, runs: modelPhysical(stored.vmas, stored.runs, stored.seed, stored.ramPages) };
}

/**
 * Writes a capture to a file.
 *
 * @param file - path
 * @param capture - the capture
 * @returns bytes written
 * @throws CaptureError when the file cannot be written
 */
export function saveCapture(file: string, capture: Capture): number {
  const bytes = encodeCapture(capture);
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new CaptureError(
      { file },
      `the file cannot be written (${code})`,
      'check the path and its permissions',
    );
  }
  return bytes.length;
}

/**
 * Reads a capture from a file.
 *
 * @param file - path
 * @returns the capture
 * @throws CaptureError when the file cannot be read or is not a capture
 */
export function loadCapture(file: string): Capture {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new CaptureError(
      { file },
      `the file cannot be read (${code})`,
      'check the path and its permissions',
    );
  }
  return decodeCapture(bytes, file);
}

function decompress(stored: Uint8Array, payloadBytes: number, file: string): Uint8Array {
  const damaged = (): CaptureError =>
    new CaptureError({ file, offsetBytes: HEADER_BYTES }, 'the compressed part is damaged', MADE_AGAIN);
  let payload: Uint8Array;
  try {
    payload = brotliDecompressSync(stored, { maxOutputLength: Math.max(payloadBytes, 1) });
  } catch {
    throw damaged();
  }
  if (payload.length !== payloadBytes) throw damaged();
  return payload;
}
