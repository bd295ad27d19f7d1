import type { ByteReader, ByteWriter, FailAt } from './byte-stream.ts';
import { CaptureLimit } from './capture-check.ts';

/**
 * Writes a text that may be missing: length plus one, then UTF-8; 0 for missing.
 *
 * @param writer - where to
 * @param field - what the text is, for the error
 * @param text - the text
 */
export function writeText(writer: ByteWriter, field: string, text: string | undefined): void {
  if (text === undefined) {
    writer.varint(0);
    return;
  }
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > CaptureLimit.TEXT_BYTES) {
    throw new RangeError(`${field} has ${bytes.length} bytes, more than ${CaptureLimit.TEXT_BYTES}`);
  }
  writer.varint(bytes.length + 1);
  writer.raw(bytes);
}

/**
 * Reads what {@link writeText} wrote.
 *
 * @param reader - where from
 * @param fail - throws
 * @returns the text, or undefined when it is missing
 */
export function readText(reader: ByteReader, fail: FailAt): string | undefined {
  const start = reader.offset;
  const length = reader.varint(CaptureLimit.TEXT_BYTES + 2);
  if (length === 0) return undefined;
  const bytes = reader.raw(length - 1);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail('a text is not UTF-8', start);
  }
}
