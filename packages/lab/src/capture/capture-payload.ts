import { ByteReader, ByteWriter, type FailAt } from './byte-stream.ts';
import { type Capture, CAPTURE_PAGE_SIZE_BYTES, type CaptureInfo } from './capture.ts';
import { CaptureLimit } from './capture-check.ts';
import { readRuns, writeRuns } from './payload-runs.ts';
import { readText, writeText } from './payload-text.ts';
import { readVmas, writeVmas } from './payload-vmas.ts';

/** Counts that the header of a file gives, and without which the payload cannot be read. */
export interface PayloadShape {
  readonly physical: 'captured' | 'modelled';
  readonly vmas: number;
  readonly runs: number;
}

const INFO_FIELDS = ['kernel', 'command', 'note', 'capturedAt'] as const;

/** Fewest bytes of one VMA and of one run, which bound both counts by the length of the payload. */
export const PAYLOAD_MIN_BYTES = { vma: 5, run: 3 } as const;

/**
 * Writes the payload: info, then one column after another, so that like bytes stand together for the compressor.
 *
 * @param capture - a valid capture; the pfns and orders of a modelled one are left out, its seed gives them back
 * @returns the bytes before compression
 */
export function encodePayload(capture: Capture): Uint8Array {
  const writer = new ByteWriter();
  for (const field of INFO_FIELDS) writeText(writer, field, capture.info[field]);
  writer.varint(capture.ramPages ?? 0);
  if (capture.seed !== undefined) writer.varint(capture.seed);
  writeVmas(writer, capture.vmas);
  writeRuns(writer, capture.runs, capture.physical);
  return writer.finish();
}

/**
 * Reads the payload. Counts are trusted only after the caller bounded them by {@link PAYLOAD_MIN_BYTES}.
 *
 * @param bytes - the decompressed payload
 * @param shape - from the header
 * @param fail - throws
 * @returns the capture, whose relations are still to be checked; the pfns and orders of a modelled one are 0
 */
export function decodePayload(bytes: Uint8Array, shape: PayloadShape, fail: FailAt): Capture {
  const reader = new ByteReader(bytes, fail);
  const info: { -readonly [Field in keyof CaptureInfo]: CaptureInfo[Field] } = {};
  for (const field of INFO_FIELDS) {
    const text = readText(reader, fail);
    if (text !== undefined) info[field] = text;
  }
  const ramPages = reader.varint(CaptureLimit.PFNS);
  const seed = shape.physical === 'modelled' ? reader.varint(2 ** 32) : undefined;
  const vmas = readVmas(reader, shape.vmas, fail);
  const runs = readRuns(reader, shape.runs, shape.physical, fail);
  if (!reader.done) fail('there is data after the last run', reader.offset);
  return {
    version: 1,
    physical: shape.physical,
    pageSize: CAPTURE_PAGE_SIZE_BYTES,
    ...(seed === undefined ? {} : { seed }),
    info,
    vmas,
    runs,
    ...(ramPages === 0 ? {} : { ramPages }),
  };
}
