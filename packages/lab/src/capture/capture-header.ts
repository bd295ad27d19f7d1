import { crc32 } from 'node:zlib';
import { CaptureLimit } from './capture-check.ts';
import { CaptureError, MADE_AGAIN } from './capture-error.ts';
import { PAYLOAD_MIN_BYTES, type PayloadShape } from './capture-payload.ts';

/** As in PNG: a byte above 0x7f, CR LF and a DOS end-of-file show what a text-mode transfer would damage. */
const MAGIC = Buffer.from('\x89GSVM\r\n\x1a', 'latin1');

const FORMAT_VERSION = 1;

/** Offsets of the header fields; see docs/capture-format.md. */
const Field = {
  VERSION: 8,
  BITS: 10,
  VMAS: 12,
  RUNS: 16,
  PAYLOAD_BYTES: 20,
  STORED_BYTES: 24,
  CRC32: 28,
} as const;

/** Bytes before the compressed payload. */
export const HEADER_BYTES = 32;
const MODELLED_BIT = 1;

/** Largest payload that is decompressed: what bounds memory when a file lies. */
export const MAX_PAYLOAD_BYTES: number = 2 ** 28;

/** What the header tells about the payload. */
export interface CaptureHeader extends PayloadShape {
  /** Bytes of the payload before compression. */
  readonly payloadBytes: number;
}

/**
 * @param header - what to tell about the payload
 * @param stored - the compressed payload
 * @returns the header, with the checksum of the whole file
 */
export function encodeHeader(header: CaptureHeader, stored: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT_VERSION, Field.VERSION);
  bytes.writeUInt16LE(header.physical === 'modelled' ? MODELLED_BIT : 0, Field.BITS);
  bytes.writeUInt32LE(header.vmas, Field.VMAS);
  bytes.writeUInt32LE(header.runs, Field.RUNS);
  bytes.writeUInt32LE(header.payloadBytes, Field.PAYLOAD_BYTES);
  bytes.writeUInt32LE(stored.length, Field.STORED_BYTES);
  bytes.writeUInt32LE(checksum(bytes, stored), Field.CRC32);
  return bytes;
}

/**
 * Checks the header, the length and the checksum of a whole file.
 *
 * @param bytes - the file
 * @param file - what to call it in an error
 * @returns the header, whose counts are bounded by the length of the payload
 * @throws CaptureError when the file is no capture, of another version, cut short or damaged
 */
export function decodeHeader(bytes: Uint8Array, file: string): CaptureHeader {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (problem: string, offsetBytes: number, remedy: string = MADE_AGAIN): never => {
    throw new CaptureError({ file, offsetBytes }, problem, remedy);
  };
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) {
    fail('this is not a gpusvm capture', 0, 'give a file made by gpusvm capture');
  }
  if (view.length < HEADER_BYTES) fail('the capture is cut short inside its header', view.length);
  const version = view.readUInt16LE(Field.VERSION);
  if (version !== FORMAT_VERSION) {
    fail(
      `format version ${version} is not known (${FORMAT_VERSION} is)`,
      Field.VERSION,
      'use a newer gpusvm',
    );
  }
  const storedBytes = view.readUInt32LE(Field.STORED_BYTES);
  const lengthBytes = HEADER_BYTES + storedBytes;
  if (view.length < lengthBytes)
    fail(`the capture is cut short (${lengthBytes} bytes expected)`, view.length);
  if (view.length > lengthBytes) fail('there is data after the end of the capture', lengthBytes);
  if (
    view.readUInt32LE(Field.CRC32) !== checksum(view.subarray(0, HEADER_BYTES), view.subarray(HEADER_BYTES))
  ) {
    fail('the capture is damaged: its checksum does not match', Field.CRC32);
  }
  const bits = view.readUInt16LE(Field.BITS);
  if (bits > MODELLED_BIT) fail(`header bits ${bits} are not known`, Field.BITS, 'use a newer gpusvm');
  const vmas = view.readUInt32LE(Field.VMAS);
  const runs = view.readUInt32LE(Field.RUNS);
  const payloadBytes = view.readUInt32LE(Field.PAYLOAD_BYTES);
  if (payloadBytes > MAX_PAYLOAD_BYTES)
    fail(`a payload of ${payloadBytes} bytes is too large`, Field.PAYLOAD_BYTES);
  if (vmas > Math.min(CaptureLimit.VMAS, payloadBytes / PAYLOAD_MIN_BYTES.vma)) {
    fail(`${vmas} VMAs are too many`, Field.VMAS);
  }
  if (runs > Math.min(CaptureLimit.RUNS, payloadBytes / PAYLOAD_MIN_BYTES.run)) {
    fail(`${runs} runs are too many`, Field.RUNS);
  }
  return { physical: bits === MODELLED_BIT ? 'modelled' : 'captured', vmas, runs, payloadBytes };
}

/** CRC-32 of the file with the checksum field left out. */
function checksum(header: Uint8Array, stored: Uint8Array): number {
  return crc32(stored, crc32(header.subarray(0, Field.CRC32)));
}
